import CSodium

// The owners of secret bytes, with unsafe code. Each has the one copy of its bytes and wipes it in its `deinit` only.
// After it is filled, and before it is shared between threads, nothing writes it, which is why they can be Sendable
// (SecretBytes, which anybody may write, is not). Pointers and spans go to closures and to the C libraries, and none is
// kept by them.

/// Bytes between two guard pages, locked against swapping if the system allows it, left out of core dumps, and wiped
/// before they are freed. They take four pages, so this is for the few long-lived keys.
@safe
struct GuardedMemory: ~Copyable, @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  let byteCount: Int
  let isLocked: Bool

  /// `byteCount` bytes with arbitrary content.
  init(byteCount: Int) throws(KeyError) {
    Sodium.prepare()
    guard let base = unsafe sodium_malloc(byteCount) else { throw .noMemory }
    unsafe self.base = unsafe base
    self.byteCount = byteCount
    // sodium_malloc tries to lock and does not say whether it did; locks do not nest, so asking again is harmless.
    isLocked = unsafe sodium_mlock(base, byteCount) == 0
  }

  deinit {
    // Wipes first, and ends the process if something has written beyond the bytes.
    unsafe sodium_free(base)
  }

  var constantBytes: UnsafePointer<UInt8> { unsafe UnsafePointer(base.assumingMemoryBound(to: UInt8.self)) }

  borrowing func fillRandomly() {
    unsafe randombytes_buf(base, byteCount)
  }

  borrowing func fill(from bytes: RawSpan) {
    // The caller has checked.
    precondition(bytes.byteCount == byteCount)
    // And a key has bytes.
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

/// Secret bytes for code that reads or writes keys: in guarded memory, so locked if the system allows it, and wiped
/// when this goes away.
public struct SecretBytes: ~Copyable {
  private let memory: GuardedMemory

  /// `byteCount` bytes with arbitrary content. Only throws ``KeyError/noMemory``.
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

/// 32 bytes on the heap that are wiped when the last reference goes away. They are in the object itself, so that they
/// cost one allocation: a relay keeps one for each session whose client has come back.
@safe
public class HeapSecret: @unchecked Sendable {
  static let byteCount = 32

  /// Unchecked, because reading it counts as writing, and many threads read one key at the same time.
  @exclusivity(unchecked)
  private var storage = InlineArray<32, UInt8>(repeating: 0)

  /// Zeros.
  init() {
    Sodium.prepare()
  }

  deinit {
    // Unlike a plain write of zeros, this is not optimised away before a free.
    unsafe sodium_memzero(&storage, HeapSecret.byteCount)
  }

  /// `body` may write the bytes until they are filled. The object lives until it returns.
  final func withBytes<Result>(_ body: (UnsafeMutablePointer<UInt8>) -> Result) -> Result {
    unsafe withUnsafeMutableBytes(of: &storage) { bytes in
      // The storage is not empty.
      unsafe body(bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
  }

  final func fillRandomly() {
    unsafe withBytes { unsafe randombytes_buf($0, HeapSecret.byteCount) }
  }

  final func fill(from bytes: RawSpan) {
    // The caller has to provide this.
    precondition(bytes.byteCount == HeapSecret.byteCount)
    unsafe withBytes { base in
      unsafe bytes.withUnsafeBytes {
        // 32 bytes, so there is an address.
        unsafe UnsafeMutableRawPointer(base).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
      }
    }
  }
}

/// The key that seals and opens the challenges of one session: 32 bytes, wiped when the last reference goes away.
///
/// It is on the heap and not in guarded memory: that takes four pages and a kernel mapping for each, and a relay with
/// many sessions would run out of those. A class, so that there is only one copy of the bytes.
public final class SessionKey: HeapSecret, @unchecked Sendable {
  override init() {}

  /// A key that was derived elsewhere. `bytes` must be 32 bytes.
  public init(bytes: RawSpan) {
    super.init()
    fill(from: bytes)
  }
}
