import NIOCore
import VoltlaneNIO
import VoltlaneWire

/// The backend's sizes and times, each with its reason. Bytes.
enum BackendLimits {
  /// If the relay does not read, the echo stops reading above the higher mark. Writes of more than 128 KiB gain
  /// nothing.
  static let echoWaterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)

  /// What the kernel may hold of an echo's connection, in each direction. By default it grows to tens of megabytes, all
  /// of which come back to a client that may have stopped reading meanwhile.
  static let echoSocketBuffer = 512 << 10

  /// How much may wait for a slow consumer, and how much may wait to be sent: enough for a busy relay, and one packet
  /// of the largest size fits on top.
  static let queue = 4 << 20

  /// How long an old connection may bring nothing once a newer one has sent something. What the kernel still holds of
  /// it arrives within milliseconds; a half-open connection would never end by itself.
  static let finishing = TimeAmount.seconds(1)

  /// A relay whose machine is gone says nothing, and a backend that only receives would never notice. The time is the
  /// one for which a relay waits for acknowledgements of its data.
  static let keepAlive = KeepAlive(after: .seconds(30))

  /// How many ended clients are remembered, so that each end is reported once: more than can end while a packet is on
  /// its way. They take at most 2 MiB.
  static let departed = 65_536

  /// How many connections may wait for their turn. A relay dials one at a time; beyond this the oldest is dropped.
  static let waitingConnections = 16
}
