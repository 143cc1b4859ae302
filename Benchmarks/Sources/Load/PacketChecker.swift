import Glibc

/// What went wrong, over all clients.
public struct Faults: Sendable, Equatable {
  /// A byte differs from what was sent, or the packet's label is of no packet in flight.
  public var corrupt = 0
  /// The packet's size is not the one that was sent.
  public var wrongSize = 0
  /// Came after a packet that was sent later.
  public var outOfOrder = 0
  /// Came again.
  public var duplicates = 0
  /// Never came. Known at the end only.
  public var lost = 0
  /// Clients whose connection the relay ended, or whose stream cannot be followed any more.
  public var closed = 0

  public init() {}

  public var isEmpty: Bool { self == Faults() }

  /// Packets that passed over but have not come yet, by client. Touched only when something is wrong.
  struct Missing {
    var byClient: [Int: Set<UInt64>] = [:]
  }
}

/// Follows one client's stream of packets and checks every byte of it: content, order, and that each packet comes once.
///
/// Nothing is buffered: what a packet must contain is known, so a packet that arrives in pieces is checked piece by
/// piece. Every packet that comes counts as the answer to one that was sent, whatever is wrong with it, save
/// duplicates.
///
///     answered <= sent,  next <= sent,  sent - answered = packets in flight or lost
struct PacketChecker {
  /// A declared size beyond this means that the stream is out of step.
  static let maxSize: UInt32 = 64 * 1024 * 1024

  /// The sequence number that comes next if all is well.
  private(set) var next: UInt64 = 0
  /// Packets that were answered.
  private(set) var answered: UInt64 = 0

  // The packet that is being read, where it came in pieces or is not the one expected.
  private var consumed: UInt32 = 0
  private var declared: UInt32 = 0
  private var foundLabel: UInt64 = 0
  private var bodyDiffers = false
  /// The stream can't be followed: its client is to be closed.
  private(set) var isBroken = false

  /// Checks `count` bytes that arrived for `client`, which has sent the packets below `sent`.
  @inline(__always)
  mutating func consume(
    _ bytes: UnsafeRawPointer, count: Int, client: Int, sent: UInt64, pattern: Pattern, faults: inout Faults,
    missing: inout Faults.Missing
  ) {
    var at = bytes
    var left = count
    while left > 0 {
      var taken = 0
      if consumed == 0, next < sent { taken = pattern.match(at, count: left, client: client, sequence: next) }
      if taken > 0 {
        next &+= 1
        answered &+= 1
      } else {
        taken = step(at, count: left, client: client, sent: sent, pattern: pattern, faults: &faults, missing: &missing)
      }
      at += taken
      left -= taken
    }
  }

  /// Takes the next piece, at least a byte, of a packet that did not come whole or is not the one expected.
  @inline(never)
  private mutating func step(
    _ bytes: UnsafeRawPointer, count: Int, client: Int, sent: UInt64, pattern: Pattern, faults: inout Faults,
    missing: inout Faults.Missing
  ) -> Int {
    guard !isBroken else { return count }
    let prefix = UInt32(Pattern.prefix)
    let labelEnd = prefix + (consumed < prefix ? 0 : UInt32(Pattern.labelCount(size: Int(declared))))
    if consumed < prefix {
      let byte = UInt32(bytes.load(as: UInt8.self))
      declared = (consumed == 0 ? 0 : declared) | byte << (8 * consumed)
      consumed += 1
      if consumed == prefix, declared > PacketChecker.maxSize {
        isBroken = true
        faults.closed += 1
        return count
      }
      if consumed == prefix, declared == 0 {
        finish(client: client, sent: sent, pattern: pattern, faults: &faults, missing: &missing)
      }
      return 1
    }
    var taken = 1
    if consumed < labelEnd {
      foundLabel |= UInt64(bytes.load(as: UInt8.self)) << (8 * UInt64(consumed - prefix))
    } else {
      taken = min(count, Int(prefix + declared - consumed))
      if let sequence = foundSequence(client: client, pattern: pattern),
        pattern.size(client: client, sequence: sequence) == Int(declared)
      {
        let body = pattern.body(client: client, sequence: sequence) + Int(consumed - labelEnd)
        if memcmp(bytes, body, taken) != 0 { bodyDiffers = true }
      }
    }
    consumed += UInt32(taken)
    if consumed == prefix + declared {
      finish(client: client, sent: sent, pattern: pattern, faults: &faults, missing: &missing)
    }
    return taken
  }

  /// The sequence number that the packet says it has; the expected one where packets are too small to say.
  private func foundSequence(client: Int, pattern: Pattern) -> UInt64? {
    Pattern.labelCount(size: Int(declared)) == 0 ? next : pattern.sequence(ofLabel: foundLabel, client: client)
  }

  /// The packet is complete: what was it?
  private mutating func finish(
    client: Int, sent: UInt64, pattern: Pattern, faults: inout Faults, missing: inout Faults.Missing
  ) {
    let sequence = foundSequence(client: client, pattern: pattern)
    let hasRightSize = pattern.size(client: client, sequence: sequence ?? next) == Int(declared)
    let differs = bodyDiffers
    (consumed, declared, foundLabel, bodyDiffers) = (0, 0, 0, false)

    guard next < sent || !(missing.byClient[client] ?? []).isEmpty else {
      faults.duplicates += 1
      return
    }
    guard hasRightSize, let sequence, sequence < sent else {
      // It can't be told which packet this was: it stands for the expected one.
      if hasRightSize { faults.corrupt += 1 } else { faults.wrongSize += 1 }
      answered += 1
      if next < sent { next += 1 }
      return
    }
    if sequence < next {
      guard missing.byClient[client]?.remove(sequence) != nil else {
        faults.duplicates += 1
        return
      }
      faults.outOfOrder += 1
    } else {
      for passed in next..<sequence { missing.byClient[client, default: []].insert(passed) }
      next = sequence + 1
    }
    answered += 1
    if differs { faults.corrupt += 1 }
  }
}
