import CSodium

// The owners of secret bytes, with unsafe code. Each owns its memory alone, cannot be copied, and frees it in its
// `deinit` only; `base` has `byteCount` bytes until then. After it is filled, and before it is shared between threads,
// nothing writes it, which is why the two can be Sendable (SecretBytes, which anybody may write, is not). Pointers go
// to the C libraries and spans to closures, and neither are kept by them.

/// Bytes between two guard pages, locked against swapping where the system allows it, left out of core dumps, and wiped
/// before they are freed. Takes four pages, so it is for the few long-lived keys.
@safe
struct GuardedMemory: ~Copyable, @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  let byteCount: Int
  let isLocked: Bool

  /// `byteCount` bytes of no particular value.
  init(byteCount: Int) throws(KeyError) {
    Sodium.prepare()
    guard let base = unsafe sodium_malloc(byteCount) else { throw .noMemory }
    unsafe self.base = unsafe base
    self.byteCount = byteCount
    // sodium_malloc tries to lock and does not tell; locks don't nest, so asking again is harmless.
    isLocked = unsafe sodium_mlock(base, byteCount) == 0
  }

  deinit {
    // Wipes first, and ends the process where something wrote past the bytes.
    unsafe sodium_free(base)
  }

  var constantBytes: UnsafePointer<UInt8> { unsafe UnsafePointer(base.assumingMemoryBound(to: UInt8.self)) }

  borrowing func fillRandomly() {
    unsafe randombytes_buf(base, byteCount)
  }

  borrowing func fill(from bytes: RawSpan) {
    precondition(bytes.byteCount == byteCount)
    unsafe bytes.withUnsafeBytes { unsafe base.copyMemory(from: $0.baseAddress!, byteCount: byteCount) }
  }

  borrowing func withSpan<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(unsafe UnsafeBufferPointer(start: constantBytes, count: byteCount).span)
  }

  borrowing func withMutableSpan<Result, Failure: Error>(
    _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let bytes = unsafe UnsafeMutableBufferPointer(start: base.assumingMemoryBound(to: UInt8.self), count: byteCount)
    var span = unsafe bytes.mutableSpan
    return try body(&span)
  }
}

/// Secret bytes for those who read or write keys: in guarded memory, so locked where the system allows it, and wiped
/// when this goes.
public struct SecretBytes: ~Copyable {
  private let memory: GuardedMemory

  /// `byteCount` bytes of no particular value. Throws ``KeyError/noMemory`` only.
  public init(byteCount: Int) throws(KeyError) {
    memory = try GuardedMemory(byteCount: byteCount)
  }

  public var byteCount: Int { memory.byteCount }

  public borrowing func withSpan<Result, Failure: Error>(
    _ body: (Span<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try memory.withSpan(body)
  }

  public mutating func withMutableSpan<Result, Failure: Error>(
    _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try memory.withMutableSpan(body)
  }
}

/// Bytes on the heap that are wiped before they are freed.
@safe
struct HeapSecret: ~Copyable, @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// `byteCount` zeros.
  init(byteCount: Int) {
    Sodium.prepare()
    unsafe base = .allocate(byteCount: byteCount, alignment: 16)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    self.byteCount = byteCount
  }

  deinit {
    // Unlike a plain write of zeros, this is not optimised away before a free.
    unsafe sodium_memzero(base, byteCount)
    unsafe base.deallocate()
  }

  var constantBytes: UnsafePointer<UInt8> { unsafe UnsafePointer(mutableBytes) }
  var mutableBytes: UnsafeMutablePointer<UInt8> { unsafe base.assumingMemoryBound(to: UInt8.self) }

  borrowing func fillRandomly() {
    unsafe randombytes_buf(base, byteCount)
  }

  borrowing func fill(from bytes: RawSpan) {
    precondition(bytes.byteCount == byteCount)
    unsafe bytes.withUnsafeBytes { unsafe base.copyMemory(from: $0.baseAddress!, byteCount: byteCount) }
  }
}
