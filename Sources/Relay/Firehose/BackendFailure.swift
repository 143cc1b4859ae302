/// Why the backend is not there.
public enum BackendFailure: Sendable, BitwiseCopyable, Equatable {
  /// Its name has no address.
  case unresolved
  /// It is unknown whether its name has an address: getaddrinfo's error, and the error number if that is EAI_SYSTEM.
  case lookUp(code: Int32, errno: Int32)
  /// The same, and the relay dials the address that the name had before.
  case lookUpOfOld(code: Int32, errno: Int32)
  /// The look-up has been running for a while, so another one is started.
  case lookUpHangs
  /// A dial failed with this error number.
  case dial(errno: Int32)
  /// The dial led back into the relay's own socket: the kernel had given it the backend's port to dial from, and
  /// nobody listens there.
  case itself
  /// The address is that of a listener of the relay's own.
  case listener
  /// Something accepted the connection, and ended it before it had proved to be a backend; the error number, 0 for a
  /// FIN.
  case closedEarly(errno: Int32)
  /// What arrived on the connection is not what a backend sends.
  case noBackend
  /// A connection that had not lasted long was lost; the error number, 0 for a FIN.
  case shortLived(errno: Int32)
}

/// Makes sure that a failure that keeps happening is logged only now and then, with a count. Failures of several kinds
/// may alternate, for example if a name has two addresses and each fails in its own way.
struct FailureLog {
  private struct Entry {
    var failure: BackendFailure?
    /// When it may be logged again.
    var next: UInt64 = 0
    /// How often it has happened since it was last logged.
    var held: UInt64 = 0
  }

  private var entries = InlineArray<4, Entry>(repeating: Entry())

  /// How often it has happened since it was last logged, including this time; nil if it is not logged now.
  mutating func countToLog(_ failure: BackendFailure, now: UInt64) -> UInt64? {
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

  /// All is well: the next failure is logged at once.
  mutating func forget() {
    for index in entries.indices { entries[index] = Entry() }
  }
}
