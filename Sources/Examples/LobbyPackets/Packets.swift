import Foundation
import NIOCore

/// What members of the lobby send to its server: typed packets, in packets of bytes.
public enum MemberPacket: Codable, Equatable, Sendable {
  /// Sent first, and whenever the server asks who it is. `next` is the number of the line that the member says next.
  case join(name: String, next: Int)
  /// A line. It is said again until it is confirmed: the protocol below has no acknowledgement.
  case say(number: Int, text: String)
  /// How many lines of others have been read since the last time, so that the server may send more.
  case read(Int)
  /// The heartbeat: the server answers.
  case ping
  /// The end, for good: the server ends the session, and forgets it.
  case goodbye
}

/// What the server sends to members.
public enum LobbyPacket: Codable, Equatable, Sendable {
  /// The server does not know this client, because the server was restarted, or has just heard of the client.
  case whoAreYou
  /// The member is in. Everything up to `confirmed` of its own lines is known.
  case welcome(confirmed: Int, members: [String])
  /// The member's own line was accepted.
  case confirmed(Int)
  /// A line of somebody else's.
  case said(name: String, number: Int, text: String)
  /// How many lines were left out because this member did not read fast enough.
  case missed(Int)
  case pong
}

/// JSON, because everybody can read it. A game that sends a lot would use a more compact form.
public enum PacketCoder {
  /// The bytes of a packet.
  public static func encode(_ packet: some Encodable) -> ByteBuffer {
    // Enums of strings and numbers always encode.
    ByteBuffer(bytes: (try? JSONEncoder().encode(packet)) ?? Data())
  }

  /// nil if the bytes are not such a packet: anybody may have sent them.
  public static func decode<Packet: Decodable>(_ type: Packet.Type, _ bytes: ByteBuffer) -> Packet? {
    try? JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
  }
}
