import CLinux

/// What the programs report when they crash: one line, with nothing from memory.
///
/// The pointers are to strings, and valid for the duration of the call, which copies them.
package enum Crash {
  /// Call this first in `main`.
  package static func prepare(_ program: String) {
    unsafe voltlane_prepare_for_crash(program, Version.current)
  }

  /// For programs that do not handle signals: a write that nobody reads then fails, instead of ending the program
  /// silently.
  package static func letWritesFail() { voltlane_let_writes_fail() }
}
