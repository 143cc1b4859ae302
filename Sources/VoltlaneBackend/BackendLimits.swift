import NIOCore
import VoltlaneNIO
import VoltlaneWire

/// The backend's sizes and times, each with its reason. Bytes.
enum BackendLimits {
  /// An echo whose relay does not read stops to read above the higher mark. From 128 KiB on, larger writes gain
  /// nothing.
  static let echoWaterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)

  /// What the kernel may hold of an echo's connection, each way. Left to itself it grows to tens of megabytes, all of
  /// which come back to a client that may have stopped reading meanwhile.
  static let echoSocketBuffer = 512 << 10

  /// Events that wait for a slow consumer, and what waits to be sent: enough for a lively relay, and one packet of the
  /// largest size fits besides.
  static let queue = 4 << 20

  /// How long an old connection may bring nothing once a newer one has sent something. What the kernel holds of it
  /// comes in milliseconds; a half-open one would never end by itself.
  static let finishing = TimeAmount.seconds(1)

  /// A relay whose machine is gone says nothing, and a backend that only receives would never notice: as long as a
  /// relay waits for the acknowledgement of its data.
  static let keepAlive = KeepAlive(after: .seconds(30))

  /// Clients whose end is remembered, so that it is told once: more than end within the time that a packet is on its
  /// way. They take 2 MiB at most.
  static let departed = 65_536

  /// Connections that wait for their turn. A relay dials one at a time; over this the oldest is dropped.
  static let waitingConnections = 16
}
