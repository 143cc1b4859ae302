import CLinux

/// What the programs report when they crash: one line, without anything from memory.
///
/// The pointers that are passed lead to strings, for the duration of the call, which copies them.
package enum Crash {
  /// To be called first in `main`.
  package static func prepare(_ program: String) {
    unsafe voltlane_prepare_for_crash(program, Version.current)
  }

  /// For programs that leave signals as they are: writing to something that nobody reads then fails, instead of ending
  /// the program silently.
  package static func letWritesFail() { voltlane_let_writes_fail() }
}
