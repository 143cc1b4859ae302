import Testing
import VoltlaneBackend

@Suite(.timeLimit(.minutes(10))) struct BackendListenTests {
  @Test func aTakenPort() async throws {
    let first = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    await #expect(throws: BackendError.cannotListen(first.address, reason: "the address is in use")) {
      try await Backend.listen(on: first.address)
    }
    await #expect(throws: BackendError.cannotListen(first.address, reason: "the address is in use")) {
      try await EchoBackend.listen(on: first.address)
    }
    await first.stop()
  }

  @Test func aUnixSocketThatIsInUseIsLeftAlone() async throws {
    let path = "/tmp/voltlane-backend-\(UInt64.random(in: 0 ... .max)).sock"
    let first = try await EchoBackend.listen(on: .unix(path: path))
    #expect(first.address == .unix(path: path))
    await #expect(throws: BackendError.cannotListen(.unix(path: path), reason: "the address is in use")) {
      try await Backend.listen(on: .unix(path: path))
    }
    let relay = try await BytePeer.connect(to: first.address)
    try await relay.write(tagged(1, .data, [1]))
    #expect(await relay.readPacket()?.last == 1)
    await first.stop()
    // Its file is gone.
    await #expect(throws: (any Error).self) { try await BytePeer.connect(to: .unix(path: path)) }
    let second = try await EchoBackend.listen(on: .unix(path: path))
    await second.stop()
  }

  @Test func aLeftOverUnixSocketIsReplaced() async throws {
    let path = "/tmp/voltlane-backend-\(UInt64.random(in: 0 ... .max)).sock"
    // A listener that does not remove its file.
    let crashed = try await ByteListener.start(on: .unix(path: path))
    await crashed.stop()
    let echo = try await EchoBackend.listen(on: .unix(path: path))
    let relay = try await BytePeer.connect(to: echo.address)
    try await relay.write(tagged(1, .data, [1]))
    #expect(await relay.readPacket()?.last == 1)
    await echo.stop()
  }

  @Test func aPathThatIsNoSocketIsLeftAlone() async throws {
    let path = "/dev/null"
    let reason = "the path is taken by something that is not a socket"
    await #expect(throws: BackendError.cannotListen(.unix(path: path), reason: reason)) {
      try await EchoBackend.listen(on: .unix(path: path))
    }
  }
}
