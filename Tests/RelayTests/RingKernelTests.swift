import CRefusal
import Dispatch
import Glibc
import Testing
import VoltlaneText

@testable import Relay

/// What the relay counts on in the kernel itself.
@Suite struct RingKernelTests {
  /// Two connected unix sockets; what goes into one comes out of the other.
  private struct Pair {
    let relay: Int32
    let client: Int32

    init() throws {
      var descriptors: [Int32] = [0, 0]
      try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &descriptors) == 0)
      (relay, client) = (descriptors[0], descriptors[1])
    }

    func close() {
      Glibc.close(relay)
      Glibc.close(client)
    }
  }

  private func withKernel(_ body: (inout RingKernel) throws -> Void) throws {
    try withKernel(Resolver(backend: Endpoint.unix(path: "/nowhere")), body)
  }

  private func withKernel(_ resolver: Resolver, _ body: (inout RingKernel) throws -> Void) throws {
    let arena = Arena()
    let control = ControlBlock(arena, signal: -1)
    var kernel = try RingKernel(
      KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control))
    try body(&kernel)
  }

  private func token(_ number: UInt32) -> Token { Token(.clientSent, index: number, generation: 1) }

  /// A send without a completion went well; one that the socket took in part, or not at all, says so in the same enter.
  @Test func queuedSendsCompleteOnlyWhereTheyFailed() throws {
    let (fits, partly, refused, broken) = (try Pair(), try Pair(), try Pair(), try Pair())
    defer { for pair in [fits, partly, refused, broken] { pair.close() } }
    let bytes = [UInt8](repeating: 7, count: 8 << 20)
    try bytes.withUnsafeBytes { bytes in
      let start = bytes.baseAddress!
      while send(refused.relay, start, 65_536, Int32(MSG_DONTWAIT)) > 0 {}
      shutdown(broken.relay, Int32(SHUT_WR))
      try withKernel { kernel in
        kernel.submit(.send(fits.relay, start, count: 100), token(1))
        kernel.submit(.send(partly.relay, start, count: bytes.count), token(2))
        kernel.submit(.send(refused.relay, start, count: 65_536), token(3))
        kernel.submit(.send(broken.relay, start, count: 100), token(4))
        kernel.submit(.send(fits.relay, start, count: 100), token(5))
        kernel.poll()
        let settled = kernel.hasSettled
        #expect(settled)
        var results: [UInt32: Int32] = [:]
        while let completion = kernel.next() { results[completion.token.index] = completion.result }
        let taken = try #require(results[2])
        #expect(taken > 0 && taken < bytes.count)
        #expect(results == [2: taken, 3: -EAGAIN, 4: -EPIPE])
        var unread: Int32 = 0
        try #require(ioctl(partly.client, UInt(FIONREAD), &unread) == 0)
        #expect(unread == taken)
        try #require(ioctl(fits.client, UInt(FIONREAD), &unread) == 0)
        #expect(unread == 200)
      }
    }
  }

  /// More completions than a turn takes: it is not known yet which sends went well.
  @Test func whatIsNotReapedIsNotSettled() throws {
    let broken = try Pair()
    defer { broken.close() }
    shutdown(broken.relay, Int32(SHUT_WR))
    try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { byte in
      try withKernel { kernel in
        let count = Limits.completionsPerTurn + 1
        for number in 0..<count {
          kernel.submit(.send(broken.relay, UnsafeRawPointer(byte.baseAddress!), count: 1), token(UInt32(number)))
        }
        kernel.poll()
        let settledAtFirst = kernel.hasSettled
        #expect(!settledAtFirst)
        var seen = 0
        while kernel.next() != nil { seen += 1 }
        kernel.poll()
        let settledThen = kernel.hasSettled
        #expect(settledThen)
        while kernel.next() != nil { seen += 1 }
        #expect(seen == count)
      }
    }
  }

  /// The poll that tells of the end of a look-up can itself end, as where the kernel is short of memory; the look-up is
  /// heard of all the same.
  @Test func theResolverIsWatchedAgain() throws {
    let goesOn = DispatchSemaphore(value: 0)
    let resolver = try Resolver(backend: .tcp(host: "backend.example", port: 1)) { _, _, _ in
      goesOn.wait()
      return .found
    }
    defer { resolver.stop() }
    let token = Token(.resolved)
    try withKernel(resolver) { kernel in
      for _ in 0..<3 {
        kernel.resolve(token)
        kernel.submit(.cancel(token, of: resolver.signal), Token(.none))
        let ended = try nextCompletion(&kernel)
        #expect(ended.token == token && ended.result == -ECANCELED && !ended.more)
        var lookUp = kernel.lookUp(ended)
        #expect(lookUp == .underWay)
        goesOn.signal()
        let next = try nextCompletion(&kernel)
        #expect(next.token == token)
        lookUp = kernel.lookUp(next)
        #expect(lookUp == .found)
      }
    }
  }

  private func nextCompletion(_ kernel: inout RingKernel) throws -> Completion {
    let deadline = kernel.now + 60 * Limits.second
    while kernel.now < deadline {
      while let completion = kernel.next() { if completion.token.purpose != .timeout { return completion } }
      kernel.wait(until: deadline)
    }
    return try #require(nil as Completion?)
  }

  /// What the kernel did not take has not begun, however many completions there are.
  @Test func whatWasNotTakenIsNotSettled() throws {
    let pair = try Pair()
    defer { pair.close() }
    let (settled, refusals) = onThreadOfItsOwn { () -> (Bool?, UInt64) in
      let arena = Arena()
      let control = ControlBlock(arena, signal: -1)
      guard let resolver = try? Resolver(backend: .unix(path: "/nowhere")),
        var kernel = try? RingKernel(
          KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control)),
        refusal_begin(Int32(refusal_ring_enter), -1, 0, EAGAIN) == 0
      else { return (nil, 0) }
      return withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { bytes in
        kernel.submit(.send(pair.relay, UnsafeRawPointer(bytes.baseAddress!), count: 8), Token(.clientSent))
        kernel.poll()
        return (kernel.hasSettled, control.ringRefusal.count)
      }
    }
    #expect(settled == false)
    #expect(refusals == 1)
  }

  /// A kernel that takes nothing holds a thread up for as long as it does, and no longer than the relay lives; the
  /// control thread is told.
  @Test func aKernelThatTakesNothingDoesNotHoldUpTheEnd() throws {
    let arena = Arena()
    let control = ControlBlock(arena, signal: -1)
    let resolver = try Resolver(backend: .unix(path: "/nowhere"))
    DispatchQueue.global().async {
      while control.ringRefusal.count == 0 { usleep(1000) }
      control.phase = .stopping
    }
    let isOver = onThreadOfItsOwn { () -> Bool in
      guard
        var kernel = try? RingKernel(
          KernelSetup(resolver: resolver, congestionControl: nil, keepalive: 0, coalesceTime: 0, control: control)),
        refusal_begin(Int32(refusal_ring_enter), -1, 0, EAGAIN) == 0
      else { return false }
      for _ in 0..<2 * Limits.ringSubmissions { kernel.submit(.close(-1), Token(.none)) }
      kernel.poll()
      return true
    }
    #expect(isOver)
    #expect(control.ringRefusal.errno == EAGAIN)
  }

  /// A bell that was not heard for want of memory is rung again: it counts as rung, so nobody else would.
  @Test func aBellThatWasNotHeardIsRungAgain() throws {
    try withKernel { ringer in
      try withKernel { sleeper in
        for error in [ENOMEM, EAGAIN, EOVERFLOW] {
          ringer.ringAgain(
            Completion(token: Token(.unheardBell, index: UInt32(sleeper.bellDescriptor)), result: -error, more: false))
          ringer.poll()
          let heard = try nextCompletion(&sleeper)
          #expect(heard.token == Token(.bell))
        }
      }
    }
  }

  @Test func aBellThatNobodyIsLeftToHearIsRungOnce() throws {
    let arena = Arena()
    let bell = HostBells(arena, hosts: 1)[0]
    // Nobody's: the number of one that was closed may belong to another test's ring by now.
    let gone: Int32 = 1 << 20
    bell.ringDescriptor = gone
    try withKernel { kernel in
      kernel.ring(bell)
      let unheard = try nextCompletion(&kernel)
      #expect(unheard.token == Token(.unheardBell, index: UInt32(gone)))
      kernel.ringAgain(unheard)
      kernel.poll()
      let again = kernel.next()
      #expect(again == nil)
    }
  }
}
