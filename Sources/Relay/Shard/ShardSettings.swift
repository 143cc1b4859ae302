import VoltlaneWire

/// What the flags say about clients, as a shard has it. Sizes are bytes, times nanoseconds.
///
/// A setting that a shard needs is a field here, with its line in the `init` below: of the configuration, a shard sees
/// nothing else. A reload gives it a new value.
struct ShardSettings: BitwiseCopyable, Sendable {
  var maxPacketSize: Int
  var clientSendBuffer: Int
  /// `.max` where a packet may take forever.
  var packetTimeout: UInt64
  var halfCloseTimeout: UInt64
  /// 0: a session ends with its socket.
  var staleTimeout: UInt64
  /// Of all shards together.
  var maxStaleClients: Int
  var missedPacketsBuffer: Int
  /// Whether the backend is told of sessions that become stale.
  var tellsAway: Bool
  /// Whether the backend is told where clients connect from. Fixed for as long as the relay runs, because otherwise it
  /// would not be known of clients that are there.
  var tellsAddresses: Bool
  var handshakeTimeout: UInt64
  var rejection: Rejection
  /// `.max` where a client need not read.
  var slowClientTimeout: UInt64
  /// What the kernel may hold for one client, at most.
  var kernelMemoryPerClient: Int
  var pace: Pace
  var keepalive: KeepaliveWatch

  /// Of what waits for a client, so much counts towards no limit when it is carried over from one state to the next:
  /// what the limit of an attached client allows, and one packet.
  var carriedOver: Int { clientSendBuffer + Wire.sizePrefix + maxPacketSize }
}

extension ShardSettings {
  init(_ configuration: RelayConfiguration) {
    self.init(
      maxPacketSize: configuration.maxPacketSize, clientSendBuffer: configuration.clientSendBuffer,
      packetTimeout: configuration.packetTimeout?.nanoseconds ?? .max,
      halfCloseTimeout: configuration.halfCloseTimeout.nanoseconds,
      staleTimeout: configuration.staleTimeout.nanoseconds, maxStaleClients: configuration.maxStaleClients,
      missedPacketsBuffer: configuration.missedPacketsBuffer, tellsAway: configuration.tellsAway,
      tellsAddresses: configuration.tellsAddresses,
      handshakeTimeout: configuration.protection.handshakeTimeout?.nanoseconds ?? .max,
      rejection: configuration.protection.rejection,
      slowClientTimeout: configuration.protection.slowClientTimeout?.nanoseconds ?? .max,
      // The kernel doubles what it is told, for its own bookkeeping.
      kernelMemoryPerClient: 2 * configuration.clientReceiveBuffer + Limits.kernelSendBuffer,
      pace: Pace(configuration.protection),
      keepalive: KeepaliveWatch(
        keepalive: configuration.keepalive.seconds, userTimeout: configuration.userTimeoutMilliseconds))
  }
}
