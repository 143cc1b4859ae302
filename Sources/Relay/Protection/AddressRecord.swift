/// What is remembered about an address, about its prefix, or about an id and an address together. All zero bits:
/// nothing.
struct AddressRecord: BitwiseCopyable {
  /// Connections from there that count, and those of them that are in the handshake.
  var clients: UInt32 = 0
  var handshakes: UInt32 = 0
  var bannedUntil: UInt64 = 0
  var accepts = TokenBucket()
  var violations = TokenBucket()
  /// Reconnections that failed.
  var failures = TokenBucket()

  /// Whether forgetting it would be wrong.
  func isPinned(now: UInt64) -> Bool { clients > 0 || handshakes > 0 || bannedUntil > now }

  /// From when on forgetting it loses nothing, as long as nobody is connected.
  var mattersUntil: UInt64 { max(max(bannedUntil, accepts.full), max(violations.full, failures.full)) }
}
