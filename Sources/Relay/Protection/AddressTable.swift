import Synchronization
import VoltlaneCrypto

/// What the relay remembers by address, for all shards, in memory that never grows.
///
/// The table consists of sets of 15 places. Each key has a fingerprint, a keyed hash, which decides its set and is
/// compared there; nobody outside can choose a set.
///
///     0        8               128             168                     728      768
///     +--------+----------------+---------------+----- - - ------------+--------+
///     | lock   | 15 fingerprints| record        | 14 more records      |        |  one set
///     +--------+----------------+---------------+----- - - ------------+--------+
///
/// A full set gives up the record that is least missed: one whose buckets are full again, otherwise the one whose
/// buckets will be first. It never gives up that of an address with connections or a ban: if a set has only these, a
/// newcomer gets no record, and limits by address do not see it. That is the right way to fail: otherwise anyone who
/// fills the table would lock everybody else out.
///
/// A set is locked by spinning, for as long as it takes to look through it. Only clients that connect, end or misbehave
/// come here, never a packet.
///
/// Invariant: either a place's fingerprint is 0 and its record all zero, or it is in the set of its fingerprint, once.
struct AddressTable: @unchecked Sendable {
  static let places = 15
  private static let recordsOffset = 8 * (1 + places)
  private static let stride = 768

  private let base: UnsafeMutableRawPointer
  private let setMask: UInt64
  private let hash: ShortHash

  /// A table for that many clients, each with an address and a prefix of its own. `random` provides the secrets.
  init(_ arena: Arena, clients: Int, random: () -> UInt64) throws(RelayError) {
    // Constants.
    precondition(
      MemoryLayout<AddressRecord>.stride * AddressTable.places <= AddressTable.stride - AddressTable.recordsOffset)
    var sets = Limits.addressSetsLeast
    while sets < Limits.addressSetsMost, sets * AddressTable.places / 4 < clients { sets *= 2 }
    base = try arena.reserve(byteCount: sets * AddressTable.stride)
    setMask = UInt64(sets - 1)
    hash = ShortHash(key: (random(), random()))
  }

  var capacity: Int { Int(setMask + 1) * AddressTable.places }

  // MARK: Fingerprints

  /// Never 0, which marks an empty place.
  struct Fingerprint: Equatable {
    let bits: UInt64
  }

  func fingerprint(of address: AddressKey) -> Fingerprint { fingerprint(0, address.bits) }
  func fingerprint(ofPrefixOf address: AddressKey) -> Fingerprint { fingerprint(1, address.prefix) }
  func fingerprint(of id: UInt64, at address: AddressKey) -> Fingerprint {
    fingerprint(2, hash(id, address.bits))
  }

  private func fingerprint(_ kind: UInt64, _ bits: UInt64) -> Fingerprint {
    let bits = hash(kind, bits)
    return Fingerprint(bits: bits == 0 ? 1 : bits)
  }

  // MARK: Records

  /// A record whose set is locked. ``AddressTable/unlock(_:)`` unlocks it.
  struct Place: ~Copyable {
    fileprivate let set: UnsafeMutableRawPointer
    fileprivate let index: Int
    let record: UnsafeMutablePointer<AddressRecord>
  }

  /// The record of a fingerprint; nil if there is none.
  func find(_ fingerprint: Fingerprint) -> Place? {
    let set = lock(fingerprint)
    guard let index = index(of: fingerprint.bits, in: set) else {
      unlock(set)
      return nil
    }
    return Place(set: set, index: index, record: record(index, in: set))
  }

  /// The record of a fingerprint, a new one if there was none; nil if its set has no place.
  func findOrMake(_ fingerprint: Fingerprint, now: UInt64) -> Place? {
    let set = lock(fingerprint)
    if let index = index(of: fingerprint.bits, in: set) {
      return Place(set: set, index: index, record: record(index, in: set))
    }
    guard let index = index(of: 0, in: set) ?? leastLoss(in: set, now: now) else {
      unlock(set)
      return nil
    }
    fingerprints(set)[index] = fingerprint.bits
    record(index, in: set).initialize(to: AddressRecord())
    return Place(set: set, index: index, record: record(index, in: set))
  }

  func unlock(_ place: consuming Place) { unlock(place.set) }

  private func index(of fingerprint: UInt64, in set: UnsafeMutableRawPointer) -> Int? {
    (0..<AddressTable.places).first { fingerprints(set)[$0] == fingerprint }
  }

  private func leastLoss(in set: UnsafeMutableRawPointer, now: UInt64) -> Int? {
    (0..<AddressTable.places).lazy.filter { !record($0, in: set).pointee.isPinned(now: now) }
      .min { record($0, in: set).pointee.mattersUntil < record($1, in: set).pointee.mattersUntil }
  }

  private func fingerprints(_ set: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt64> {
    (set + 8).assumingMemoryBound(to: UInt64.self)
  }

  private func record(_ index: Int, in set: UnsafeMutableRawPointer) -> UnsafeMutablePointer<AddressRecord> {
    (set + AddressTable.recordsOffset).assumingMemoryBound(to: AddressRecord.self) + index
  }

  // MARK: Locks

  private func lock(_ fingerprint: Fingerprint) -> UnsafeMutableRawPointer {
    let set = base + Int(fingerprint.bits & setMask) * AddressTable.stride
    let word = set.assumingMemoryBound(to: Atomic<UInt64>.self)
    while word.pointee.exchange(1, ordering: .acquiring) != 0 {
      // Only reads until it looks free, which leaves the cache line with its owner.
      while word.pointee.load(ordering: .relaxed) != 0 {}
    }
    return set
  }

  private func unlock(_ set: UnsafeMutableRawPointer) {
    set.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.store(0, ordering: .releasing)
  }
}
