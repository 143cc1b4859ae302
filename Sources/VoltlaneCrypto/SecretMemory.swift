import CSodium

// The two owners of secret bytes, with unsafe code. Each owns its memory alone, cannot be copied, and frees it in its
// `deinit` only; `base` has `byteCount` bytes until then. After it is filled, and before it is shared between threads,
// nothing writes it, which is why both can be Sendable. The pointers go to the C libraries and are not kept by them.

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

  borrowing func copy() -> [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: base, count: byteCount))
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
