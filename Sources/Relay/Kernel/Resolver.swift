import CLinux
import Glibc
import Synchronization
import VoltlaneText

/// The state of looking up the backend's name, or how it ended.
enum LookUp: Equatable {
  case underWay
  case found
  /// The name has no address, according to a server that knows.
  case unknownName
  /// No server that knows could be asked. `code` is getaddrinfo's error, with `errno` if it is EAI_SYSTEM.
  case failed(code: Int32, errno: Int32)
}

/// Looks up the backend's name before each dial. getaddrinfo blocks, at times for as long as a name server is away, so
/// it runs on threads of the resolver's own. They are made at the start, because later there may be no thread to be
/// had. A numeric address or a unix path needs none.
///
/// There are several, so that a look-up that hangs does not keep the next one from seeing a name that has appeared
/// meanwhile. Look-ups are numbered in the order in which they were asked for. An address always counts, unless a later
/// look-up has found one before; a failure counts only if nothing was asked for since.
///
/// Nothing is allocated after the start except by getaddrinfo itself, which reports what it does not get.
final class Resolver: Sendable {
  /// An eventfd that is signalled when a look-up has ended.
  let signal: Int32
  /// An eventfd that counts the look-ups that no thread has begun; threads wait on it. -1 if there are no threads.
  private let calls: Int32
  private let host: String
  private let port: String
  private let state: Mutex<State>

  fileprivate struct State {
    /// Numbers of look-ups: the last that was asked for, the last that was begun, and the last that found something.
    var asked: UInt64 = 0
    var begun: UInt64 = 0
    var answered: UInt64 = 0
    var outcome = LookUp.underWay
    var addresses = InlineArray<16, SocketAddress>(repeating: SocketAddress())
    var count = 0
    var isStopped = false
  }

  /// Throws if the system has no descriptor or thread left.
  convenience init(backend: Endpoint) throws(RelayError) {
    try self.init(backend: backend) { Resolver.find($0, $1, numeric: false, body: $2) }
  }

  /// `lookUp` stands for getaddrinfo: it gives each address of a host and port to its last argument, and returns how it
  /// ended.
  init(
    backend: Endpoint,
    lookUp: @escaping @Sendable (_ host: String, _ port: String, (SocketAddress) -> Void) -> LookUp
  ) throws(RelayError) {
    var fixed = State()
    var needsThreads = false
    switch backend {
    case .unix(let path):
      (host, port) = ("", "")
      if let address = SocketAddress(unixPath: path) { fixed.add(address) }
      fixed.outcome = .found
    case .tcp(let host, let port):
      (self.host, self.port) = (host, String(port))
      fixed.outcome = Resolver.find(self.host, self.port, numeric: true) { fixed.add($0) }
      // The number of an interface, which a link-local address names after its %, can change.
      needsThreads = fixed.outcome != .found || host.contains("%")
    }
    signal = voltlane_eventfd()
    guard signal >= 0 else { throw .system(call: "eventfd", errno: -signal) }
    guard needsThreads else {
      calls = -1
      state = Mutex(fixed)
      return
    }
    state = Mutex(State())
    calls = voltlane_semaphore()
    guard calls >= 0 else { throw .system(call: "eventfd", errno: -calls) }
    do throws(RelayError) {
      for number in 0..<Limits.resolverThreads {
        try OSThread.detach(name: "resolve \(number)") { [self] in run(lookUp) }
      }
    } catch {
      stop()
      throw error
    }
  }

  deinit {
    if signal >= 0 { close(signal) }
    if calls >= 0 { close(calls) }
  }

  /// Begins a look-up. What an earlier one found stays valid until a later one finds something else, or finds that the
  /// name has gone: a name server that is down for a moment takes no backend away.
  func begin() {
    guard calls >= 0 else { return voltlane_eventfd_signal(signal) }
    state.withLock {
      $0.asked &+= 1
      $0.outcome = .underWay
    }
    voltlane_eventfd_signal(calls)
  }

  /// The state of the last look-up; ``signal`` is reset.
  func lookUp() -> LookUp {
    voltlane_eventfd_clear(signal)
    return state.withLock { $0.outcome }
  }

  func address(_ index: Int) -> SocketAddress? {
    state.withLock { $0.count == 0 ? nil : $0.addresses[index % $0.count] }
  }

  /// Lets the threads go, each as soon as its look-up has ended: nothing waits for one that hangs.
  func stop() {
    guard calls >= 0 else { return }
    state.withLock { $0.isStopped = true }
    for _ in 0..<Limits.resolverThreads { voltlane_eventfd_signal(calls) }
  }

  // MARK: On a thread of the resolver

  private func run(_ lookUp: (String, String, (SocketAddress) -> Void) -> LookUp) {
    var found = State()
    while true {
      voltlane_semaphore_wait(calls)
      // There may have been as many calls as look-ups were asked for; one look-up answers them all.
      let number = state.withLock { state -> UInt64? in
        guard !state.isStopped else { return nil }
        defer { state.begun = state.asked }
        return state.begun == state.asked ? 0 : state.asked
      }
      guard let number else { return }
      guard number > 0 else { continue }
      found.count = 0
      let outcome = lookUp(host, port) { found.add($0) }
      if state.withLock({ $0.record(outcome, of: number, found) }) { voltlane_eventfd_signal(signal) }
    }
  }

  /// Gives each address of `host` to `body`. Blocks unless only `numeric` ones are wanted.
  private static func find(_ host: String, _ port: String, numeric: Bool, body: (SocketAddress) -> Void) -> LookUp {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = voltlane_stream
    hints.ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : 0)
    var first: UnsafeMutablePointer<addrinfo>?
    errno = 0
    let result = getaddrinfo(host, port, &hints, &first)
    guard result == 0 else { return LookUp(failure: result, errno: errno) }
    defer { freeaddrinfo(first) }
    var entry = first
    while let found = entry {
      body(SocketAddress(found.pointee.ai_addr, length: found.pointee.ai_addrlen))
      entry = found.pointee.ai_next
    }
    return .found
  }
}

extension Resolver.State {
  /// There are more places than any name has addresses; further addresses are left out.
  fileprivate mutating func add(_ address: SocketAddress) {
    guard count < addresses.count else { return }
    addresses[count] = address
    count += 1
  }

  /// Records how a look-up has ended. False if that does not count.
  fileprivate mutating func record(_ new: LookUp, of number: UInt64, _ found: borrowing Self) -> Bool {
    guard new == .found ? number > answered : number == asked else { return false }
    outcome = new
    switch new {
    case .found:
      answered = number
      addresses = found.addresses
      count = found.count
    case .unknownName: count = 0
    case .failed, .underWay: break
    }
    return true
  }
}

extension LookUp {
  /// What an error of getaddrinfo means. It also calls a name unknown if it got no descriptor or memory to ask with.
  init(failure code: Int32, errno: Int32) {
    let isUnknown = code == EAI_NONAME || code == voltlane_no_address
    if isUnknown, errno != EMFILE, errno != ENFILE, errno != ENOMEM, errno != ENOBUFS {
      self = .unknownName
    } else {
      self = .failed(code: isUnknown ? EAI_SYSTEM : code, errno: errno)
    }
  }
}
