import Foundation
import NIOCore
import Testing
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

@testable import VoltlaneClient
@testable import VoltlaneConnect

/// Sessions that are saved and resumed.
@Suite(.timeLimit(.minutes(10))) struct SessionTests {
  @Test func aSavedSessionComesBack() async throws {
    let relay = try await FakeRelay.start()
    let (client, peer, key) = try await relay.connect(persistent, pacing: .real)
    let saved = try JSONEncoder().encode(client.session)
    await client.close()
    _ = await peer.readToEnd()

    let session = try JSONDecoder().decode(ClientSession.self, from: saved)
    async let resuming = Client.resume(session, to: relay.listener.endpoint, options: persistent)
    let next = try await relay.takeBack(key, behind: framed([1]))
    let resumed = try await resuming
    #expect(resumed.clientID == FakeRelay.clientID)
    #expect(resumed.relayPublicKey == relay.key.compressed)
    #expect(resumed.session == session)
    #expect(resumed.state == .connected)
    var packets = resumed.packets.makeAsyncIterator()
    #expect(try await packets.next() == ByteBuffer(bytes: [1]))
    // And comes back again.
    try await next.reset()
    _ = try await relay.takeBack(key, behind: framed([2]))
    #expect(try await packets.next() == ByteBuffer(bytes: [2]))
    await resumed.close()
  }

  @Test func tellsWhyItCannotBeResumed() async throws {
    let relay = try await FakeRelay.start()
    let session = ClientSession(
      clientID: FakeRelay.clientID, secretKey: try SecretKey.generate().copyBytes(), relayKey: relay.key.compressed)
    func error(_ plays: ((BytePeer) async throws -> Void)...) async throws -> ClientError? {
      async let resuming = Client.resume(session, to: relay.listener.endpoint, options: persistent)
      for play in plays { try await play(try await relay.acceptReturning()) }
      do {
        _ = try await resuming
        return nil
      } catch {
        return error as? ClientError
      }
    }
    #expect(try await error({ await $0.close() }, { await $0.close() }) == .sessionOver)
    #expect(try await error({ await $0.close() }, { try await $0.reset() }) == .refused)
    #expect(try await error { try await $0.reset() } == .refused)
    let others = Challenge(try SecretKey.generate().sessionKey(with: relay.key))
    #expect(try await error { try await $0.write(others.packet) } == .invalidChallenge)
  }

  @Test func aSessionOfAnotherRelay() async throws {
    let relay = try await FakeRelay.start()
    let other = try SecretKey.generate().publicKey.compressed
    let session = ClientSession(
      clientID: FakeRelay.clientID, secretKey: try SecretKey.generate().copyBytes(), relayKey: other)
    let resuming = Task { try await Client.resume(session, to: relay.listener.endpoint, options: persistent) }
    let peer = await relay.listener.accept()
    try await peer.write(relay.keyPacket)
    #expect(await peer.readToEnd() == framed([1, 2]))
    await #expect(throws: ClientError.wrongRelayKey(expected: other, received: relay.key.compressed)) {
      try await resuming.value
    }
    // A pinned key has to be the session's.
    var options = persistent
    options.relayKey = relay.key.compressed
    await #expect(throws: ClientError.wrongRelayKey(expected: relay.key.compressed, received: other)) {
      try await Client.resume(session, to: relay.listener.endpoint, options: options)
    }
  }

  @Test func keysThatAreNone() async throws {
    let relay = try await FakeRelay.start()
    var session = ClientSession(clientID: 1, secretKey: pattern(31), relayKey: relay.key.compressed)
    await #expect(throws: ClientError.invalidSession(.invalidSecretLength(31))) {
      try await Client.resume(session, to: relay.listener.endpoint)
    }
    session.secretKey = [UInt8](repeating: 0, count: 32)
    await #expect(throws: ClientError.invalidSession(.invalidScalar)) {
      try await Client.resume(session, to: relay.listener.endpoint)
    }
    session.secretKey = try SecretKey.generate().copyBytes()
    session.relayKey = [2]
    await #expect(throws: ClientError.invalidSession(.invalidEncoding(byteCount: 1, tag: nil))) {
      try await Client.resume(session, to: relay.listener.endpoint)
    }
  }

  @Test func keepsItsSecretOutOfLogs() throws {
    let session = ClientSession(clientID: 7, secretKey: [0xab, 0xcd], relayKey: [2, 3])
    var dumped = ""
    dump(session, to: &dumped)
    for text in ["\(session)", String(reflecting: session), dumped] {
      #expect(text.contains("0203") && !text.contains("abcd") && !text.contains("171"), "\(text)")
    }
  }

  @Test func itsFormIsFixed() throws {
    let session = ClientSession(clientID: .max, secretKey: [0xab, 0x0d], relayKey: [2, 0xff])
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let text = #"{"clientID":"ffffffffffffffff","relayKey":"02ff","secretKey":"ab0d"}"#
    #expect(String(decoding: try encoder.encode(session), as: UTF8.self) == text)
    #expect(try JSONDecoder().decode(ClientSession.self, from: Data(text.utf8)) == session)
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(ClientSession.self, from: Data(text.replacing("ab0d", with: "ab0").utf8))
    }
  }

  // MARK: - The file

  @Test func theFileIsForItsOwnerOnly() async throws {
    let path = "/tmp/voltlane-session-\(UInt64.random(in: 0 ... .max))"
    defer { for file in [path, path + ".lock"] { try? FileManager.default.removeItem(atPath: file) } }
    let file = FileSessionStore(path: path)
    #expect(try await file.load() == nil)
    let session = ClientSession(clientID: 1 << 63, secretKey: pattern(32), relayKey: [2] + pattern(32))
    try await file.save(session)
    #expect(try await file.load() == session)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    // It is replaced, and nothing is left beside it but the lock.
    var next = session
    next.clientID = 2
    try await file.save(next)
    #expect(try await file.load() == next)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { "/tmp/\($0)".hasPrefix(path) }.sorted()
        == [path, path + ".lock"].map { String($0.dropFirst(5)) })

    try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
    await #expect(throws: SessionStoreError.readableByOthers(path)) { try await file.load() }
  }

  @Test func aFileThatHoldsNoSession() {
    let session = ClientSession(clientID: 1, secretKey: pattern(32), relayKey: [2] + pattern(32))
    let text = FileSessionStore.text(session)
    #expect(FileSessionStore.session(text) == session)
    for broken in [
      "", "voltlane session 1\n", text.replacing("session 1", with: "session 2"), text + "more\n",
      text.replacing("client-id 0000000000000001", with: "client-id 1"), String(text.dropLast(3)),
    ] {
      #expect(FileSessionStore.session(broken) == nil)
    }
  }
}
