import NIOCore
import NIOPosix
import VoltlaneWire

/// How a client connects, and how much it holds.
public struct ClientOptions: Sendable {
  /// The time for all of connecting: resolving the name, reaching the relay and the handshake.
  public var connectTimeout: Duration
  /// The largest packet either way, in bytes: the relay's `max-packet-size`.
  public var maxPacketSize: Int
  /// The connection is not read while packets of this many bytes wait to be taken; each counts its data and 64 bytes.
  public var receiveLimit: Int
  /// ``Client/send(_:)`` waits while packets of this many bytes wait to be sent; each counts its data and 64 bytes.
  public var sendLimit: Int
  /// The threads to run on; a client uses one of them.
  public var group: any EventLoopGroup

  public init(
    connectTimeout: Duration = .seconds(10),
    maxPacketSize: Int = Wire.defaultMaxPacketSize,
    receiveLimit: Int = 1 << 20,
    sendLimit: Int = 1 << 20,
    group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
  ) {
    self.connectTimeout = connectTimeout
    self.maxPacketSize = maxPacketSize
    self.receiveLimit = receiveLimit
    self.sendLimit = sendLimit
    self.group = group
  }
}
