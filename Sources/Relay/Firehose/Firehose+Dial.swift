import Glibc

/// Dialling the backend, and dialling it again. The name is looked up each time; delays grow from 50 ms on, with
/// jitter so that many relays don't come back in step, and are small again only after a connection that lived 10 s.
extension Firehose {
  @inline(never)
  mutating func beginDial<K: Kernel & ~Copyable>(_ kernel: inout K) {
    state = .resolving
    kernel.resolve(Token(.resolved))
  }

  /// The look-up has ended, or goes on. A name server that is away takes no backend away: where no answer was to be
  /// had, the last one stands.
  @inline(never)
  mutating func resolved<K: Kernel & ~Copyable>(_ lookUp: LookUp, _ kernel: inout K) {
    switch lookUp {
    case .underWay: break
    case .failed(let code, let errno) where kernel.resolvedAddress(dialCount) == nil:
      dialFailed(.lookUp(code: code, errno: errno), &kernel)
    case .found, .unknownName, .failed: dial(&kernel)
    }
  }

  @inline(never)
  mutating func dial<K: Kernel & ~Copyable>(_ kernel: inout K) {
    guard let address = kernel.resolvedAddress(dialCount) else { return dialFailed(.unresolved, &kernel) }
    dialCount += 1
    let result = kernel.dial(address)
    guard result >= 0 else { return dialFailed(.system(errno: -result), &kernel) }
    socket = result
    generation &+= 1
    state = .dialing
    deadline = kernel.now + Limits.dialTimeout
    waitsForRoom = true
    kernel.submit(.pollWritable(socket), Token(.firehoseWritable, generation: generation))
  }

  /// The dialled socket has become writable: connected, or failed.
  @inline(never)
  mutating func dialled<K: Kernel & ~Copyable>(_ kernel: inout K) {
    let result = kernel.dialResult(socket)
    guard result == 0 else { return dialFailed(.system(errno: -result), &kernel) }
    state = .connected
    deadline = .max
    connectedAt = kernel.now
    lastDialFailure = nil
    readable = true
    kernel.submit(.pollReadable(socket), Token(.firehoseReadable, generation: generation))
    counters.add(.backendConnections)
    events.post(.backendConnected, &kernel)
    backendStatus.refusesClients = false
    dropDeadline = .max
    if settings.backendTimeout > 0 { silenceCheck = kernel.now + settings.backendTimeout / 8 }
    if hasConnected, settings.announces { beginSweep(&kernel) }
    hasConnected = true
  }

  @inline(never)
  mutating func dialFailed<K: Kernel & ~Copyable>(_ failure: DialFailure, _ kernel: inout K) {
    counters.add(.backendDialsFailed)
    closeSocket(&kernel)
    // The same failure again and again is told once in a while.
    if failure != lastDialFailure || kernel.now >= nextDialEvent {
      events.post(failure.event, &kernel)
      lastDialFailure = failure
      nextDialEvent = kernel.now + Limits.dialEventEvery
    }
    waitToDial(&kernel)
  }

  mutating func waitToDial<K: Kernel & ~Copyable>(_ kernel: inout K) {
    state = .waiting
    let jitter = kernel.random() % (dialDelay / 2)
    deadline = kernel.now + dialDelay / 2 + jitter
    dialDelay = min(2 * dialDelay, settings.longestDialDelay)
  }

  mutating func closeSocket<K: Kernel & ~Copyable>(_ kernel: inout K) {
    guard socket >= 0 else { return }
    kernel.submit(.cancel(Token(.firehoseReadable, generation: generation)), Token(.none))
    if waitsForRoom {
      kernel.submit(.cancel(Token(.firehoseWritable, generation: generation)), Token(.none))
    }
    kernel.submit(.close(socket), Token(.none))
    socket = -1
    readable = false
    hungUp = false
    waitsForRoom = false
    sendError = 0
    stalledLane = nil
    silenceCheck = .max
    silentSince = .max
    endSweep()
  }
}

/// Why a dial led to no connection.
enum DialFailure: Equatable {
  /// The backend's name has no address.
  case unresolved
  /// Whether it has one could not be found out.
  case lookUp(code: Int32, errno: Int32)
  case system(errno: Int32)

  fileprivate var event: Event {
    switch self {
    case .unresolved: .backendUnresolved
    case .lookUp(let code, let errno): .backendLookUpFailed(code: code, errno: errno)
    case .system(let errno): .backendDialFailed(errno: errno)
    }
  }
}
