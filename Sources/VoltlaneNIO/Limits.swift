/// Sizes that both libraries share, each with its reason. Bytes.
package enum Limits {
  /// What a packet costs besides its data in every queue: its header and the queue's own element. Without it, empty
  /// packets would escape a bound in bytes.
  package static let packetOverhead = 64

  /// Read buffers grow and shrink with the traffic, between these sizes: many small packets per read are worth a large
  /// buffer, a quiet connection is not.
  package static let smallestRead = 4 << 10
  package static let firstRead = 64 << 10
  package static let largestRead = 256 << 10
}
