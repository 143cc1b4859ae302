/// A fixed number of values that cannot be copied, side by side in memory.
struct FixedArray<Element: ~Copyable>: ~Copyable {
  private let base: UnsafeMutablePointer<Element>
  let count: Int

  init(count: Int, _ element: (Int) throws -> Element) rethrows {
    base = count > 0 ? .allocate(capacity: count) : FixedArray.nowhere
    self.count = count
    for index in 0..<count { (base + index).initialize(to: try element(index)) }
  }

  /// No values, and no memory.
  init() {
    base = FixedArray.nowhere
    count = 0
  }

  /// Nothing is ever read from this address, so any address except zero will do.
  private static var nowhere: UnsafeMutablePointer<Element> {
    // An alignment is never zero.
    UnsafeMutablePointer(bitPattern: MemoryLayout<Element>.alignment).unsafelyUnwrapped
  }

  deinit {
    guard count > 0 else { return }
    base.deinitialize(count: count)
    base.deallocate()
  }

  /// Checked in debug builds only: a check would cost every packet, and indices come from ranges up to `count`.
  @inline(__always)
  subscript(index: Int) -> Element {
    _read {
      assert(index >= 0 && index < count)
      yield base[index]
    }
    _modify {
      assert(index >= 0 && index < count)
      yield &base[index]
    }
  }
}
