/// A role that a host may or may not have, allocated by itself: however large it is, one comparison says whether it is
/// there.
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
    // The caller has checked that it is there.
    _read { yield place.unsafelyUnwrapped.pointee }
    // The caller has checked that here, too.
    nonmutating _modify { yield &place.unsafelyUnwrapped.pointee }
  }
}
