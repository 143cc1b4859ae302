/// A role that a host may have, in a place of its own: whether it is there is one comparison, however large it is.
///
/// Invariant: `place` is nil, or holds a role from the start to the end.
struct Hosted<Role: ~Copyable>: ~Copyable {
  private let place: UnsafeMutablePointer<Role>?

  init(_ role: consuming Role?) {
    guard let role else {
      place = nil
      return
    }
    let place = UnsafeMutablePointer<Role>.allocate(capacity: 1)
    place.initialize(to: role)
    self.place = place
  }

  deinit {
    place?.deinitialize(count: 1)
    place?.deallocate()
  }

  @inline(__always) var isHere: Bool { place != nil }

  @inline(__always) var role: Role {
    // The caller has made sure that it is there.
    _read { yield place.unsafelyUnwrapped.pointee }
    // And here.
    nonmutating _modify { yield &place.unsafelyUnwrapped.pointee }
  }
}
