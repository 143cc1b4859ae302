import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText

/// Everything that a client needs to come back as itself, even from another process: see ``Client/session`` and
/// ``Client/resume(_:to:options:)``.
///
/// **Secret.** Anyone who has it can take over the session. Save it where nobody else can read it. Its description
/// leaves the secret key out; its `Codable` form does not.
public struct ClientSession: Equatable, Sendable {
  /// The name that the relay gave to the client.
  public var clientID: UInt64
  /// The client's secret key: 32 bytes.
  public var secretKey: [UInt8]
  /// The relay's public key: 33 bytes, SEC1 compressed.
  public var relayKey: [UInt8]

  public init(clientID: UInt64, secretKey: [UInt8], relayKey: [UInt8]) {
    self.clientID = clientID
    self.secretKey = secretKey
    self.relayKey = relayKey
  }
}

extension ClientSession: CustomStringConvertible, CustomReflectable {
  public var description: String {
    "session of client \(String(clientID: clientID)) with the relay \(hexadecimal(relayKey))"
  }

  /// Without the secret key, which does not belong in a log.
  public var customMirror: Mirror {
    Mirror(self, children: ["clientID": String(clientID: clientID), "relayKey": hexadecimal(relayKey)])
  }
}

/// Three strings in hexadecimal: not every reader of JSON keeps 64 bits of a number.
extension ClientSession: Codable {
  private enum CodingKeys: String, CodingKey {
    case clientID, secretKey, relayKey
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func field<Value>(_ key: CodingKeys, _ read: (String) -> Value?) throws -> Value {
      if let value = read(try container.decode(String.self, forKey: key)) { return value }
      throw DecodingError.dataCorruptedError(
        forKey: key, in: container, debugDescription: "the \(key.rawValue) of a session cannot be read")
    }
    clientID = try field(.clientID) { UInt64(clientID: $0) }
    secretKey = try field(.secretKey) { bytes(hexadecimal: $0) }
    relayKey = try field(.relayKey) { bytes(hexadecimal: $0) }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(String(clientID: clientID), forKey: .clientID)
    try container.encode(hexadecimal(secretKey), forKey: .secretKey)
    try container.encode(hexadecimal(relayKey), forKey: .relayKey)
  }
}

extension ClientSession {
  /// The keys, if they are valid.
  func keys() throws(ClientError) -> (secret: SecretKey, relay: PublicKey) {
    do {
      return (try SecretKey(bytes: secretKey), try PublicKey(bytes: relayKey))
    } catch {
      throw .invalidSession(error)
    }
  }
}
