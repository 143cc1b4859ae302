import CLinux
import CRefusal
import Glibc
import Testing
import VoltlaneText

@testable import Relay

/// What the relay counts on in the kernel over epoll: each operation, its ends, and descriptors that change hands.
@Suite struct EpollKernelTests {
  private struct Pair {
    let relay: Int32
    let client: Int32

    init() throws {
      var descriptors: [Int32] = [0, 0]
      let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
      try #require(socketpair(AF_UNIX, type, 0, &descriptors) == 0)
      (relay, client) = (descriptors[0], descriptors[1])
    }

    func close() {
      Glibc.close(relay)
      Glibc.close(client)
    }

    func say() { #expect(write(client, "x", 1) == 1) }
    func hear() {
      var byte: UInt8 = 0
      while read(relay, &byte, 1) > 0 {}
    }
    /// Until the socket takes no more.
    func fill() {
      let bytes = [UInt8](repeating: 0, count: 65_536)
      while write(relay, bytes, bytes.count) > 0 {}
    }
    func drain() {
      var bytes = [UInt8](repeating: 0, count: 65_536)
      while read(client, &bytes, bytes.count) > 0 {}
    }
  }

  private func withKernel(_ body: (inout EpollKernel) throws -> Void) throws {
    let resolver = try Resolver(backend: .unix(path: "/nowhere"))
    let arena = Arena()
    defer { withExtendedLifetime(arena) {} }
    let control = ControlBlock(arena, signal: -1)
    var kernel = try EpollKernel(
      KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control))
    try body(&kernel)
  }

  private func withPair(_ body: (inout EpollKernel, Pair) throws -> Void) throws {
    let pair = try Pair()
    defer { pair.close() }
    try withKernel { kernel in try body(&kernel, pair) }
  }

  private struct Said: Equatable {
    let token: Token
    let result: Int32
    let more: Bool

    init(_ token: Token, _ result: Int32, more: Bool = true) {
      (self.token, self.result, self.more) = (token, result, more)
    }
  }

  /// What has completed.
  private func said(_ kernel: inout EpollKernel) -> [Said] {
    kernel.poll()
    var said: [Said] = []
    while let completion = kernel.next() {
      said.append(Said(completion.token, completion.result, more: completion.more))
    }
    return said
  }

  private func readable(_ number: UInt32) -> Token { Token(.clientReadable, index: number, generation: 1) }
  private func writable(_ number: UInt32) -> Token { Token(.clientWritable, index: number, generation: 1) }

  // MARK: Sends

  @Test func `sends complete only where they failed`() throws {
    let (fits, refused, broken) = (try Pair(), try Pair(), try Pair())
    defer { for pair in [fits, refused, broken] { pair.close() } }
    refused.fill()
    shutdown(broken.relay, Int32(SHUT_WR))
    let bytes = [UInt8](repeating: 7, count: 8 << 20)
    try bytes.withUnsafeBytes { bytes in
      let start = bytes.baseAddress!
      try withKernel { kernel in
        for (number, socket) in [fits, refused, broken, fits].map(\.relay).enumerated() {
          kernel.submit(.send(socket, start, count: 100), readable(UInt32(number)))
        }
        kernel.submit(.send(fits.relay, start, count: bytes.count), readable(9))
        let all = said(&kernel)
        let settled = kernel.hasSettled
        #expect(settled)
        let taken = try #require(all.last).result
        #expect(taken > 0 && taken < bytes.count)
        #expect(
          all == [
            Said(readable(1), -EAGAIN, more: false), Said(readable(2), -EPIPE, more: false),
            Said(readable(9), taken, more: false),
          ])
        var unread: Int32 = 0
        try #require(ioctl(fits.client, UInt(FIONREAD), &unread) == 0)
        #expect(unread == 200 + taken)
      }
    }
  }

  /// More than a turn takes: it is not known yet which sends went well.
  @Test func `what has not been brought is not settled`() throws {
    try withPair { kernel, broken in
      shutdown(broken.relay, Int32(SHUT_WR))
      let count = Limits.eventsPerTurn + 1
      withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { byte in
        for number in 0..<count {
          kernel.submit(.send(broken.relay, byte.baseAddress!, count: 1), readable(UInt32(number)))
        }
      }
      let first = said(&kernel)
      var (settled, all) = (kernel.hasSettled, kernel.hasBroughtAll)
      #expect(!settled && !all)
      let rest = said(&kernel)
      (settled, all) = (kernel.hasSettled, kernel.hasBroughtAll)
      #expect(settled && all)
      #expect((first + rest).map(\.token.index) == Array(0..<UInt32(count)))
    }
  }

  /// As where the system has no room for so many polls.
  @Test func `polls that fail hold up nobody's sends`() throws {
    try withKernel { kernel in
      for number in 0..<UInt32(2 * Limits.eventsPerTurn + 1) { kernel.submit(.pollReadable(-1), readable(number)) }
      let first = said(&kernel)
      let (settled, all) = (kernel.hasSettled, kernel.hasBroughtAll)
      #expect(settled && !all)
      #expect(first == (0..<UInt32(Limits.eventsPerTurn)).map { Said(readable($0), -EBADF, more: false) })
    }
  }

  /// Of a unix socket the instance says so at each of the peer's reads.
  @Test func `a socket that nobody waits to write to wakes nobody twice`() throws {
    try withPair { kernel, pair in
      kernel.submit(.pollReadable(pair.relay), readable(1))
      pair.fill()
      kernel.submit(.pollWritable(pair.relay), writable(2))
      #expect(said(&kernel).isEmpty)
      pair.drain()
      #expect(said(&kernel).map(\.token) == [writable(2)])
      // The first of these is reported to nobody, and the instance told.
      for _ in 0..<2 {
        pair.fill()
        pair.drain()
        #expect(said(&kernel).isEmpty)
      }
      pair.say()
      #expect(said(&kernel).map(\.token) == [readable(1)])
    }
  }

  // MARK: Polls

  @Test func `a socket is readable edge by edge, and from the start where it is so`() throws {
    try withPair { kernel, pair in
      pair.say()
      kernel.submit(.pollReadable(pair.relay), readable(1))
      #expect(said(&kernel) == [Said(readable(1), POLLIN)])
      #expect(said(&kernel) == [])
      pair.say()
      #expect(said(&kernel) == [Said(readable(1), POLLIN)])
      pair.hear()
      #expect(said(&kernel) == [])
      shutdown(pair.client, Int32(SHUT_WR))
      #expect(said(&kernel) == [Said(readable(1), POLLIN | PollBits.readHangup)])
      #expect(said(&kernel) == [])
      close(pair.client)
      let end = said(&kernel).first
      #expect(end.map { $0.result & PollBits.reset != 0 } == true, "\(String(describing: end))")
    }
  }

  @Test func `a socket is writable once, beside what is read`() throws {
    try withPair { kernel, pair in
      kernel.submit(.pollReadable(pair.relay), readable(1))
      kernel.submit(.pollWritable(pair.relay), writable(1))
      #expect(said(&kernel) == [Said(writable(1), POLLOUT, more: false)])
      for _ in 0..<2 {
        pair.fill()
        kernel.submit(.pollWritable(pair.relay), writable(1))
        #expect(said(&kernel) == [])
        pair.drain()
        #expect(said(&kernel) == [Said(writable(1), POLLOUT, more: false)])
        // Nobody waits for room any more.
        pair.fill()
        pair.drain()
        #expect(said(&kernel) == [])
      }
      pair.say()
      #expect(said(&kernel) == [Said(readable(1), POLLIN)])
      // Both at once, each with its own.
      pair.hear()
      pair.fill()
      kernel.submit(.pollWritable(pair.relay), writable(1))
      pair.say()
      pair.drain()
      #expect(said(&kernel) == [Said(readable(1), POLLIN), Said(writable(1), POLLOUT, more: false)])
    }
  }

  @Test func `a cancelled poll says nothing more, and the other goes on`() throws {
    try withPair { kernel, pair in
      kernel.submit(.pollReadable(pair.relay), readable(1))
      pair.fill()
      kernel.submit(.pollWritable(pair.relay), writable(1))
      kernel.submit(.cancel(readable(1), of: pair.relay), Token(.none))
      pair.say()
      #expect(said(&kernel) == [])
      pair.drain()
      #expect(said(&kernel) == [Said(writable(1), POLLOUT, more: false)])
      kernel.submit(.pollReadable(pair.relay), readable(2))
      #expect(said(&kernel) == [Said(readable(2), POLLIN)])
      // Somebody else's token, and one that has ended, end nothing.
      for token in [readable(1), writable(1)] { kernel.submit(.cancel(token, of: pair.relay), Token(.none)) }
      pair.say()
      #expect(said(&kernel) == [Said(readable(2), POLLIN)])
    }
  }

  // MARK: Descriptors that change hands

  /// On another thread a socket is closed, and its number given to another one, which comes here: the table still has
  /// the first.
  @Test func `a number is another socket's after a close that the kernel did not see`() throws {
    try withPair { kernel, pair in
      let next = try Pair()
      defer { close(next.client) }
      pair.fill()
      kernel.submit(.pollReadable(pair.relay), readable(1))
      kernel.submit(.pollWritable(pair.relay), writable(1))
      #expect(said(&kernel) == [])
      // Closes what was there.
      #expect(dup2(next.relay, pair.relay) == pair.relay)
      close(next.relay)
      next.say()
      #expect(said(&kernel) == [])
      kernel.submit(.pollReadable(pair.relay), readable(2))
      #expect(said(&kernel) == [Said(readable(2), POLLIN)])
      // What was cancelled late was the first one's.
      kernel.submit(.cancel(readable(1), of: pair.relay), Token(.none))
      next.say()
      #expect(said(&kernel) == [Said(readable(2), POLLIN)])
    }
  }

  /// A socket that lives on under another number keeps its registration, whose events are nobody's.
  @Test func `events of an earlier registration of a number are nobody's`() throws {
    try withPair { kernel, pair in
      let next = try Pair()
      defer { next.close() }
      let kept = dup(pair.relay)
      defer { close(kept) }
      kernel.submit(.pollReadable(pair.relay), readable(1))
      #expect(dup2(next.relay, pair.relay) == pair.relay)
      kernel.submit(.pollReadable(pair.relay), readable(2))
      pair.say()
      #expect(said(&kernel) == [])
      next.say()
      #expect(said(&kernel) == [Said(readable(2), POLLIN)])
    }
  }

  /// As where a shard has moved and its old host has not yet cancelled the poll.
  @Test func `a socket may be polled in two places`() throws {
    try withPair { old, pair in
      try withKernel { new in
        old.submit(.pollReadable(pair.relay), readable(1))
        pair.say()
        new.submit(.pollReadable(pair.relay), readable(2))
        #expect(said(&new) == [Said(readable(2), POLLIN)])
        #expect(said(&old) == [Said(readable(1), POLLIN)])
        old.submit(.cancel(readable(1), of: pair.relay), Token(.none))
        pair.say()
        #expect(said(&new) == [Said(readable(2), POLLIN)])
        #expect(said(&old) == [])
      }
    }
  }

  @Test func `a closed socket's number begins anew`() throws {
    try withKernel { kernel in
      var number: Int32?
      for round in 1...3 as ClosedRange<UInt32> {
        let pair = try Pair()
        defer { close(pair.client) }
        let socket = fcntl(pair.relay, F_DUPFD_CLOEXEC, number ?? 700)
        close(pair.relay)
        number = socket
        kernel.submit(.pollReadable(socket), readable(round))
        pair.say()
        #expect(said(&kernel) == [Said(readable(round), POLLIN)])
        kernel.submit(.cancel(readable(round), of: socket), Token(.none))
        kernel.submit(.close(socket), Token(.none))
        #expect(fcntl(socket, F_GETFD) < 0)
        #expect(said(&kernel) == [])
      }
    }
  }

  @Test func `a descriptor beyond the table is refused`() throws {
    try withKernel { kernel in
      kernel.submit(.pollReadable(.max), readable(1))
      kernel.submit(.pollWritable(-1), writable(1))
      kernel.submit(.cancel(readable(1), of: .max), Token(.none))
      #expect(
        said(&kernel) == [Said(readable(1), -EBADF, more: false), Said(writable(1), -EBADF, more: false)])
    }
  }

  /// What the system has no memory for is reported, told to the control thread, and tried again a moment later.
  @Test func `a poll for which there is no memory fails`() throws {
    let pair = try Pair()
    defer { pair.close() }
    let outcome = onThreadOfItsOwn { () -> (results: [Int32], told: UInt64)? in
      let arena = Arena()
      defer { withExtendedLifetime(arena) {} }
      let control = ControlBlock(arena, signal: -1)
      guard let resolver = try? Resolver(backend: .unix(path: "/nowhere")),
        var kernel = try? EpollKernel(
          KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control)),
        refusal_begin(Int32(refusal_epoll_ctl), -1, 0, ENOSPC) == 0
      else { return nil }
      kernel.submit(.pollReadable(pair.relay), Token(.clientReadable))
      kernel.poll()
      var results: [Int32] = []
      while let completion = kernel.next() { results.append(completion.result) }
      return (results, control.ringRefusal.count)
    }
    #expect(outcome?.results == [-ENOSPC])
    #expect(outcome?.told == 1)
  }

  // MARK: Accepting

  private func listener() throws -> (socket: Int32, address: SocketAddress) {
    let any = try #require(SocketAddress(numeric: .tcp(host: "127.0.0.1", port: 0)))
    let options = voltlane_listen_options(
      backlog: 128, receive_buffer: 4096, congestion_control: nil, keepalive: 0, user_timeout: 0, defer_accept: 0,
      before_address: false)
    let socket = any.withSockaddr { voltlane_listen($0, $1, options) }
    try #require(socket >= 0)
    return (socket, try #require(SocketAddress.bound(socket)))
  }

  private func connect(_ address: SocketAddress) -> Int32 { address.withSockaddr { voltlane_dial($0, $1, nil, 0) } }

  private let accepting = Token(.accept, index: 3)

  @Test func `clients are accepted, a turn's share at a time, until that is cancelled`() throws {
    try withKernel { kernel in
      let (listener, address) = try listener()
      let count = Limits.acceptsPerTurn + 1
      kernel.submit(.accept(listener: listener), accepting)
      let clients = (0..<count).map { _ in connect(address) }
      defer { for client in clients { close(client) } }
      var accepted = said(&kernel)
      #expect(accepted.count == Limits.acceptsPerTurn)
      var all = kernel.hasBroughtAll
      #expect(!all)
      accepted += said(&kernel)
      all = kernel.hasBroughtAll
      #expect(all)
      #expect(accepted.count == count && accepted.allSatisfy { $0.token == accepting && $0.result >= 0 && $0.more })
      for one in accepted { close(one.result) }
      kernel.submit(.cancel(accepting, of: listener), Token(.none))
      let late = connect(address)
      defer { close(late) }
      #expect(said(&kernel) == [Said(accepting, -ECANCELED, more: false)])
      #expect(said(&kernel) == [])
      kernel.submit(.close(listener), Token(.none))
    }
  }

  /// An error ends the accept; until it is asked for again, whoever waits wakes nobody.
  @Test(arguments: [EMFILE, ENFILE, ECONNABORTED, ENOBUFS]) func `an accept that fails ends`(error: Int32) throws {
    let (listener, address) = try listener()
    defer { close(listener) }
    let client = connect(address)
    defer { close(client) }
    let results = onThreadOfItsOwn { () -> [[Int32]] in
      let arena = Arena()
      defer { withExtendedLifetime(arena) {} }
      let control = ControlBlock(arena, signal: -1)
      guard let resolver = try? Resolver(backend: .unix(path: "/nowhere")),
        var kernel = try? EpollKernel(
          KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control)),
        refusal_begin(Int32(refusal_accept), -1, 0, error) == 0
      else { return [] }
      return (0..<3).map { round in
        if round != 1 { kernel.submit(.accept(listener: listener), Token(.accept)) }
        kernel.poll()
        var results: [Int32] = []
        while let completion = kernel.next() { results.append(completion.more ? 0 : completion.result) }
        return results
      }
    }
    #expect(results == [[-error], [], [-error]])
  }

  /// The relay stops listening and begins again, with other sockets in the old places, before the host has looked.
  @Test func `a listener that was replaced ends its accept, and accepts again`() throws {
    try withKernel { kernel in
      let (listener, _) = try listener()
      let signal = voltlane_eventfd()
      defer { close(signal) }
      kernel.submit(.pollReadable(signal), Token(.control))
      kernel.submit(.accept(listener: listener), accepting)
      shutdown(listener, Int32(SHUT_RD))
      let (other, address) = try self.listener()
      #expect(dup2(other, listener) == listener)
      close(other)
      voltlane_eventfd_signal(signal)
      #expect(said(&kernel) == [Said(Token(.control), POLLIN)])
      #expect(said(&kernel) == [Said(accepting, -EINVAL, more: false)])
      kernel.submit(.accept(listener: listener), accepting)
      let client = connect(address)
      defer { close(client) }
      let accepted = try #require(said(&kernel).first)
      #expect(accepted.token == accepting && accepted.result >= 0 && accepted.more)
      close(accepted.result)
      // One that is still the same is left alone.
      voltlane_eventfd_signal(signal)
      #expect(said(&kernel) == [Said(Token(.control), POLLIN)])
      #expect(said(&kernel) == [])
      kernel.submit(.close(listener), Token(.none))
    }
  }

  @Test func `a listener that stopped ends its accept`() throws {
    try withKernel { kernel in
      let (listener, _) = try listener()
      kernel.submit(.accept(listener: listener), accepting)
      shutdown(listener, Int32(SHUT_RD))
      #expect(said(&kernel) == [Said(accepting, -EINVAL, more: false)])
      #expect(said(&kernel) == [])
      kernel.submit(.close(listener), Token(.none))
    }
  }

  // MARK: Sleeping

  @Test func `a sleep ends at its deadline, and again at the next`() throws {
    try withKernel { kernel in
      for _ in 0..<3 {
        let deadline = kernel.now + 2 * Limits.millisecond
        var ends = 0
        while kernel.now < deadline {
          kernel.wait(until: deadline)
          while let completion = kernel.next() { if completion.token.purpose == .timeout { ends += 1 } }
        }
        // Not by looking again and again.
        #expect(ends == 1)
      }
    }
  }

  @Test func `a bell wakes a sleeper`() throws {
    try withKernel { ringer in
      try withKernel { sleeper in
        let arena = Arena()
        defer { withExtendedLifetime(arena) {} }
        let bell = HostBells(arena, hosts: 1)[0]
        bell.ringDescriptor = sleeper.bellDescriptor
        for _ in 0..<3 {
          ringer.ring(bell)
          sleeper.wait(until: .max)
          let heard = sleeper.next()
          #expect(heard?.token == Token(.bell))
        }
      }
    }
  }

  /// What waits to be reported is no reason to sleep.
  @Test func `a report ends a sleep at once`() throws {
    try withKernel { kernel in
      kernel.submit(.pollReadable(-1), readable(1))
      kernel.wait(until: .max)
      let completion = kernel.next()
      #expect(completion?.token == readable(1))
    }
  }
}
