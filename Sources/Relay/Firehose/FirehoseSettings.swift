import VoltlaneWire

/// What the flags say about the backend, in the form that the firehose uses. Sizes are in bytes, times in nanoseconds.
///
/// A setting that the firehose needs is a field here, with its line in the `init` below.
struct FirehoseSettings: BitwiseCopyable, Sendable {
  /// With its tag.
  var maxTaggedPacket: Int
  var longestDialDelay: UInt64
  var announces: Bool
  var backendLoss: BackendLoss
  /// How long sessions are held without a backend; `.max` for ever.
  var backendLossTimeout: UInt64
  /// How long the backend may acknowledge nothing while data is outstanding; 0: for ever.
  var backendTimeout: UInt64
}

extension FirehoseSettings {
  init(_ configuration: RelayConfiguration) {
    self.init(
      maxTaggedPacket: configuration.maxPacketSize + Wire.tag,
      longestDialDelay: configuration.longestDialDelay.nanoseconds, announces: configuration.announce,
      backendLoss: configuration.backendLoss,
      backendLossTimeout: configuration.backendLossTimeout?.nanoseconds ?? .max,
      backendTimeout: configuration.backendTimeout.nanoseconds)
  }
}
