import Testing
import Vectors

@testable import VoltlaneCrypto

/// The steps from two keys to a session key, each against its worked bytes.
@Suite struct SessionKeyTests {
  let vectors = Vectors.shared

  @Test(arguments: [("server", "client"), ("client", "server")])
  func sharedX(secret: String, key: String) throws {
    let memory = try GuardedMemory(byteCount: 32)
    memory.fill(from: vectors["keys", "\(secret)_secret"].span.bytes)
    let key = try PublicKey(sec1: vectors["keys", "\(key)_public_compressed"].span.bytes)
    let shared = HeapSecret()
    Curve.sharedX(of: memory, with: key, into: shared)
    #expect(shared.copy == vectors["ecdh", "shared_x"])
  }

  @Test func derivation() {
    let shared = HeapSecret()
    shared.fill(from: vectors["ecdh", "shared_x"].span.bytes)
    let key = HeapSecret()
    HKDF.deriveSessionKey(from: shared, into: key)
    #expect(key.copy == vectors["ecdh", "session_key"])
  }

  @Test(arguments: [("server", "client"), ("client", "server")])
  func sessionKey(secret: String, key: String) throws {
    let secret = try SecretKey(bytes: vectors["keys", "\(secret)_secret"].span.bytes)
    let key = try PublicKey(sec1: vectors["keys", "\(key)_public_uncompressed"].span.bytes)
    #expect(secret.sessionKey(with: key).copy == vectors["ecdh", "session_key"])
  }

  /// Many threads share the one context; each must get the right key.
  @Test func concurrentUse() async throws {
    let secret = try SecretKey(bytes: vectors["keys", "server_secret"].span.bytes)
    let key = try PublicKey(sec1: vectors["keys", "client_public_compressed"].span.bytes)
    let expected = vectors["ecdh", "session_key"]
    let right = await withTaskGroup(of: Bool.self, returning: Int.self) { group in
      for _ in 0..<64 { group.addTask { secret.sessionKey(with: key).copy == expected } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(right == 64)
  }
}

extension HeapSecret {
  var copy: [UInt8] {
    withBytes { Array(UnsafeBufferPointer(start: $0, count: HeapSecret.byteCount)) }
  }
}
