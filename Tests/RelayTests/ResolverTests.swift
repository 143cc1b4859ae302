import CRefusal
import Dispatch
import Glibc
import Synchronization
import Testing
import VoltlaneText

@testable import Relay

/// How the backend's name is looked up, and what becomes of look-ups that hang.
@Suite struct ResolverTests {
  /// Stands for name servers: look-ups hang, in the order in which they were begun, until the test ends them.
  private final class Names: Sendable {
    private struct Answer {
      let go = DispatchSemaphore(value: 0)
      var outcome = LookUp.underWay
      var port: UInt16?
    }

    private let began = DispatchSemaphore(value: 0)
    private let answers = Mutex<[Answer]>([])

    func lookUp(_ found: (SocketAddress) -> Void) -> LookUp {
      let (index, go) = answers.withLock {
        $0.append(Answer())
        return ($0.count - 1, $0[$0.count - 1].go)
      }
      began.signal()
      go.wait()
      let answer = answers.withLock { $0[index] }
      if let port = answer.port, case .success(let addresses) = SocketAddress.lookUp("::1", port: port, passive: false)
      {
        for address in addresses { found(address) }
      }
      return answer.outcome
    }

    /// Waits until one more look-up has begun.
    func awaitOne() { began.wait() }

    /// Ends the look-up: it has found an address with this port, or nothing.
    func end(_ index: Int, _ outcome: LookUp, port: UInt16? = nil) {
      answers.withLock {
        $0[index].outcome = outcome
        $0[index].port = port
        $0[index].go.signal()
      }
    }
  }

  private func resolver(_ names: Names) throws -> Resolver {
    try Resolver(backend: .tcp(host: "backend.example", port: 1)) { names.lookUp($2) }
  }

  /// How the look-up has ended that is under way.
  private func ending(_ resolver: Resolver) throws -> LookUp {
    var descriptor = pollfd(fd: resolver.signal, events: Int16(POLLIN), revents: 0)
    try #require(poll(&descriptor, 1, 60_000) == 1)
    return resolver.lookUp()
  }

  private func isQuiet(_ resolver: Resolver) -> Bool {
    var descriptor = pollfd(fd: resolver.signal, events: Int16(POLLIN), revents: 0)
    return poll(&descriptor, 1, 0) == 0
  }

  private static let failure = LookUp.failed(code: EAI_AGAIN, errno: 0)

  @Test(arguments: ["127.0.0.1:7", "[::1]:7", "unix:/nowhere"])
  func `an address in numbers or a path is found at once, and needs no thread`(text: String) throws {
    let resolver = try Resolver(backend: Endpoint(text)) { _, _, _ in
      Issue.record("it was looked up")
      return .underWay
    }
    resolver.begin()
    #expect(!isQuiet(resolver))
    #expect(resolver.lookUp() == .found)
    #expect(isQuiet(resolver))
    #expect(resolver.address(0) != nil)
  }

  @Test func `an address in numbers or a path can be had where no thread can`() throws {
    let missing = onThreadOfItsOwn { () -> [Bool] in
      guard refusal_begin_threads(EAGAIN) == 0 else { return [] }
      return ["127.0.0.1:7", "unix:/nowhere", "backend.example:7"].map {
        (try? Endpoint($0)).flatMap { try? Resolver(backend: $0) } == nil
      }
    }
    #expect(missing == [false, false, true])
  }

  @Test func `what is missing for a thread is said`() throws {
    let error = onThreadOfItsOwn { () -> String? in
      guard refusal_begin_threads(EAGAIN) == 0 else { return nil }
      do throws(RelayError) {
        _ = try Resolver(backend: .tcp(host: "backend.example", port: 7))
        return nil
      } catch {
        return error.description
      }
    }
    #expect(
      error?.hasPrefix("no thread for 'resolve 0': Resource temporarily unavailable; allow") == true, "\(error ?? "")")
  }

  @Test func `an answer comes when it is there`() throws {
    let names = Names()
    let resolver = try resolver(names)
    defer { resolver.stop() }
    resolver.begin()
    names.awaitOne()
    #expect(resolver.lookUp() == .underWay && isQuiet(resolver))
    names.end(0, .found, port: 10)
    #expect(try ending(resolver) == .found)
    #expect(resolver.address(5)?.port == 10)
  }

  @Test
  func `a look-up that hangs does not keep the next one from being answered, and its late answer counts for nothing`()
    throws
  {
    let names = Names()
    let resolver = try resolver(names)
    defer { resolver.stop() }
    resolver.begin()
    names.awaitOne()
    resolver.begin()
    names.awaitOne()
    names.end(1, .found, port: 11)
    #expect(try ending(resolver) == .found)
    #expect(resolver.address(0)?.port == 11)
    names.end(0, .found, port: 10)
    // The thread that hung takes the next one: what it had found has been looked at by then.
    resolver.begin()
    names.awaitOne()
    #expect(resolver.address(0)?.port == 11 && isQuiet(resolver))
    names.end(2, .found, port: 12)
    #expect(try ending(resolver) == .found)
    #expect(resolver.address(0)?.port == 12)
  }

  @Test func `an address counts however late it comes, where nothing newer was found`() throws {
    let names = Names()
    let resolver = try resolver(names)
    defer { resolver.stop() }
    for _ in 0..<2 {
      resolver.begin()
      names.awaitOne()
    }
    // No thread is left for these: the next that is free answers all of them at once.
    for _ in 0..<100 { resolver.begin() }
    names.end(0, .found, port: 10)
    #expect(try ending(resolver) == .found)
    #expect(resolver.address(0)?.port == 10)
    names.awaitOne()
    names.end(2, .found, port: 12)
    #expect(try ending(resolver) == .found)
    #expect(resolver.address(0)?.port == 12)
    names.end(1, .found, port: 11)
    resolver.begin()
    names.awaitOne()
    #expect(resolver.address(0)?.port == 12)
    names.end(3, .found)
  }

  @Test func `a failure counts only where nothing was asked for since`() throws {
    let names = Names()
    let resolver = try resolver(names)
    defer { resolver.stop() }
    for _ in 0..<2 {
      resolver.begin()
      names.awaitOne()
    }
    names.end(0, .unknownName)
    resolver.begin()
    names.awaitOne()
    #expect(resolver.lookUp() == .underWay && isQuiet(resolver))
    names.end(1, .unknownName)
    names.end(2, Self.failure)
    #expect(try ending(resolver) == Self.failure)
  }

  @Test func `a name server that is away takes no address away, and a name that is gone does`() throws {
    let names = Names()
    let resolver = try resolver(names)
    defer { resolver.stop() }
    let endings: [(LookUp, UInt16?, left: UInt16?)] = [
      (.found, 10, 10), (Self.failure, nil, 10), (.unknownName, nil, nil), (Self.failure, nil, nil), (.found, 12, 12),
    ]
    for (index, (outcome, port, left)) in endings.enumerated() {
      resolver.begin()
      names.awaitOne()
      names.end(index, outcome, port: port)
      #expect(try ending(resolver) == outcome)
      #expect(resolver.address(0)?.port == left)
    }
  }

  @Test func `errors of getaddrinfo's that mean that nobody could be asked`() {
    #expect(LookUp(failure: EAI_NONAME, errno: 0) == .unknownName)
    #expect(LookUp(failure: EAI_NONAME, errno: ENOENT) == .unknownName)
    #expect(LookUp(failure: EAI_AGAIN, errno: 0) == .failed(code: EAI_AGAIN, errno: 0))
    for missing in [EMFILE, ENFILE, ENOMEM, ENOBUFS] {
      #expect(LookUp(failure: EAI_NONAME, errno: missing) == .failed(code: EAI_SYSTEM, errno: missing))
    }
  }
}
