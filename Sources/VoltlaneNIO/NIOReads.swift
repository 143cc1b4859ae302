import NIOCore

/// How both libraries read their sockets.
package enum NIOReads {
  package static let allocator = AdaptiveRecvByteBufferAllocator(
    minimum: Limits.smallestRead, initial: Limits.firstRead, maximum: Limits.largestRead)
}
