/// What is remembered of an address, of its prefix, or of an id and an address together. All zero bits: nothing.
struct AddressRecord: BitwiseCopyable {
  /// Connections from there that count, and those of them that shake hands.
  var clients: UInt32 = 0
  var handshakes: UInt32 = 0
  var bannedUntil: UInt64 = 0
  var accepts = TokenBucket()
  var violations = TokenBucket()
  /// Reconnections that failed.
  var failures = TokenBucket()

  /// Whether to forget it would be wrong.
  func isPinned(now: UInt64) -> Bool { clients > 0 || handshakes > 0 || bannedUntil > now }

  /// From when on nothing is lost with it, as long as nobody is connected.
  var mattersUntil: UInt64 { max(max(bannedUntil, accepts.full), max(violations.full, failures.full)) }
}
