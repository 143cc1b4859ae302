/// Estimates the age of the oldest byte that was sent and not taken, by noting now and then how much had been sent. The
/// true age is at least the estimate, and exceeds it by at most the time between two notes, which is a sixteenth of the
/// time that the notes span.
///
/// Invariant: notes are in order of position and of time, and all their positions are above what was taken.
struct UntakenBytes {
  private struct Note {
    var position: UInt64 = 0
    var time: UInt64 = 0
  }

  private var notes = InlineArray<32, Note>(repeating: Note())
  private var count = 0
  /// The shortest time between two notes.
  private var spacing: UInt64 = 0

  /// Everything up to `position` has been taken.
  mutating func acknowledge(upTo position: UInt64) {
    var taken = 0
    while taken < count, notes[taken].position <= position { taken += 1 }
    guard taken > 0 else { return }
    for index in taken..<max(taken, count) { notes[index - taken] = notes[index] }
    count -= taken
    if count == 0 { spacing = 0 }
  }

  /// Everything up to `position` had been sent at `time`.
  mutating func send(upTo position: UInt64, _ time: UInt64) {
    guard count == 0 || notes[count - 1].position != position && time - notes[count - 1].time >= spacing else { return }
    if count == notes.count {
      // Drops every second note, but never the oldest.
      count /= 2
      for index in 0..<count { notes[index] = notes[2 * index] }
      spacing = notes[count - 1].time - notes[count - 2].time
    }
    notes[count] = Note(position: position, time: time)
    count += 1
  }

  /// Whether the newest note is of this position.
  func ends(at position: UInt64) -> Bool { count > 0 && notes[count - 1].position == position }

  /// The age of the oldest byte; 0 if everything was taken.
  func age(_ now: UInt64) -> UInt64 { count == 0 ? 0 : now - notes[0].time }
}
