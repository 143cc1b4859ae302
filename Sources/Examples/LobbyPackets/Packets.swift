import Foundation
import NIOCore

/// What members of the lobby say to its server: typed packets over packets of bytes.
public enum MemberPacket: Codable, Equatable, Sendable {
  /// First, and whenever the server asks who it is. `next` is the number of the line that it says next.
  case join(name: String, next: Int)
  /// A line. It is said again until it is confirmed: the protocol below has no acknowledgement.
  case say(number: Int, text: String)
  /// So many lines of others have been read since the last time, so that the server may send more.
  case read(Int)
  /// The heartbeat: the server answers.
  case ping
  /// The end, for good: the server ends the session, and forgets it.
  case goodbye
}

/// What the server says to members.
public enum LobbyPacket: Codable, Equatable, Sendable {
  /// The server does not know this client: it was restarted, or has just heard of it.
  case whoAreYou
  /// The member is in. Everything up to `confirmed` of its own lines is known.
  case welcome(confirmed: Int, members: [String])
  /// The member's own line was taken.
  case confirmed(Int)
  /// A line of somebody else's.
  case said(name: String, number: Int, text: String)
  /// So many lines were left out, because this member did not read fast enough.
  case missed(Int)
  case pong
}

/// JSON, because everybody can read it. A game that sends much would write its packets itself.
public enum PacketCoder {
  /// The bytes of a packet.
  public static func encode(_ packet: some Encodable) -> ByteBuffer {
    // Enums of strings and numbers always encode.
    ByteBuffer(bytes: (try? JSONEncoder().encode(packet)) ?? Data())
  }

  /// nil where the bytes are no such packet: whoever sends them may be anybody.
  public static func decode<Packet: Decodable>(_ type: Packet.Type, _ bytes: ByteBuffer) -> Packet? {
    try? JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
  }
}
