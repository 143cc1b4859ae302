/// Sizes that both libraries share, each with its reason. Bytes.
package enum Limits {
  /// What a packet costs beside its data in every queue: its header and the queue's own element. Without it, packets of
  /// no bytes would escape a bound in bytes.
  package static let packetOverhead = 64

  /// Read buffers grow and shrink with what comes, between these: many small packets a read are worth a large buffer,
  /// a quiet connection is not.
  package static let smallestRead = 4 << 10
  package static let firstRead = 64 << 10
  package static let largestRead = 256 << 10
}
