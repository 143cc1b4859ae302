/// Why the backend is not there.
public enum BackendFailure: Sendable, BitwiseCopyable, Equatable {
  /// Its name has no address.
  case unresolved
  /// Whether it has one could not be found out: getaddrinfo's error, and the error number where that is EAI_SYSTEM.
  case lookUp(code: Int32, errno: Int32)
  /// The same, and the address is dialled that it had.
  case lookUpOfOld(code: Int32, errno: Int32)
  /// The look-up has not ended for a while, and is asked for again.
  case lookUpHangs
  /// A dial failed, by this error number.
  case dial(errno: Int32)
  /// The dial led back into the relay's own socket: the kernel had given it the backend's port to dial from, and
  /// nobody listens there.
  case itself
  /// The address is that of a listener of the relay's own.
  case listener
  /// Something took the connection and ended it before it had shown itself to be a backend; the error number, 0 for a
  /// FIN.
  case closedEarly(errno: Int32)
  /// What came on the connection is nothing that a backend says.
  case noBackend
  /// A connection was lost that had not lasted long; the error number, 0 for a FIN.
  case shortLived(errno: Int32)
}

/// Tells a failure that comes again and again once in a while, with how often it came. Failures of several kinds may
/// take turns, as where a name has two addresses, each of which fails in its own way.
struct FailureLog {
  private struct Entry {
    var failure: BackendFailure?
    /// When it is told again.
    var next: UInt64 = 0
    /// How often it came since it was told.
    var held: UInt64 = 0
  }

  private var entries = InlineArray<4, Entry>(repeating: Entry())

  /// How often it came since it was last told, this time included; nil where it is not told now.
  mutating func admit(_ failure: BackendFailure, now: UInt64) -> UInt64? {
    var place = 0
    for index in entries.indices {
      if entries[index].failure == failure {
        entries[index].held += 1
        guard now >= entries[index].next else { return nil }
        defer { entries[index].held = 0 }
        entries[index].next = now + Limits.failureEventEvery
        return entries[index].held
      }
      if entries[index].next < entries[place].next { place = index }
    }
    entries[place] = Entry(failure: failure, next: now + Limits.failureEventEvery)
    return 1
  }

  /// All is well: the next failure is news again.
  mutating func forget() {
    for index in entries.indices { entries[index] = Entry() }
  }
}
