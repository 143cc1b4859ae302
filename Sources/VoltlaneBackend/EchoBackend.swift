import NIOCore
import NIOPosix
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// A backend that sends every data packet back to the client it came from.
///
///     let echo = try await EchoBackend.listen(on: .tcp(host: "127.0.0.1", port: 0))
///     print(echo.address)
///     await echo.stop()
///
/// It serves any number of firehose connections independently; an echo goes back on the connection on which its packet
/// arrived. Failure and reconnection packets need no answer. A tagged packet that is too short, or has an unknown flag
/// or one of the wrong direction, is counted and skipped; one above the size limit ends its connection.
public final class EchoBackend: Sendable {
  /// Where it listens, with the actual port.
  public let address: Endpoint

  private let listener: Listener
  private let refused: Counter

  private init(listener: Listener, refused: Counter) {
    address = listener.address
    self.listener = listener
    self.refused = refused
  }

  /// Starts listening. Returns once connections are accepted.
  ///
  /// - Parameters:
  ///   - endpoint: Port 0 takes any free port; see ``address``. A unix socket's file is replaced if nobody listens on
  ///     it any more.
  ///   - maxPacketSize: The relay's `max-packet-size`, in bytes, without the tag.
  ///   - group: The threads to run on; it uses one of them.
  public static func listen(
    on endpoint: Endpoint,
    maxPacketSize: Int = Wire.defaultMaxPacketSize,
    group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
  ) async throws(BackendError) -> EchoBackend {
    precondition(Wire.maxPacketSizes.contains(maxPacketSize), "no size for packets")
    let refused = Counter()
    let listener = try await Listener.start(
      on: endpoint, loop: group.next(), socketBuffer: BackendLimits.echoSocketBuffer
    ) { channel in
      try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
      try channel.syncOptions?.setOption(.writeBufferWaterMark, value: BackendLimits.echoWaterMark)
      try channel.pipeline.syncOperations.addHandler(EchoHandler(maxPacketSize: maxPacketSize, refused: refused))
    }
    return EchoBackend(listener: listener, refused: refused)
  }

  /// How many tagged packets were skipped because they were too short, or had an unknown flag or one of the wrong
  /// direction.
  public var refusedPacketCount: Int { refused.value }

  /// Returns once it has been stopped, or its listening socket has failed.
  public func waitUntilStopped() async {
    await listener.waitUntilStopped()
  }

  /// Stops listening and closes every connection. Stopping again does nothing.
  public func stop() async {
    await listener.stop()
  }
}
