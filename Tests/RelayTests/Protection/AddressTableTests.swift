import Testing

@testable import Relay

/// The table against what it must never do: forget an address that is connected or banned, mix addresses up, or grow.
@Suite struct AddressTableTests {
  private let arena = Arena()
  private func table(clients: Int = 1, seed: UInt64 = 1) throws -> AddressTable {
    var random = SeededRandom(seed: seed)
    return try AddressTable(arena, clients: clients) { random.next() }
  }

  private func update(
    _ table: AddressTable, _ address: UInt64, now: UInt64 = 1, _ body: (inout AddressRecord) -> Void
  ) -> Bool {
    guard let place = table.findOrMake(table.fingerprint(of: AddressKey(bits: address)), now: now) else { return false }
    body(&place.record.pointee)
    table.unlock(place)
    return true
  }

  private func clients(_ table: AddressTable, _ address: UInt64) -> UInt32? {
    guard let place = table.find(table.fingerprint(of: AddressKey(bits: address))) else { return nil }
    let clients = place.record.pointee.clients
    table.unlock(place)
    return clients
  }

  @Test func whoIsConnectedOrBannedIsNeverForgotten() throws {
    let table = try table()
    // More than the table has places for: some get none, and those that have one keep it.
    var kept: [UInt64: UInt32] = [:]
    for address in 1...UInt64(2 * table.capacity) {
      let isBanned = address % 2 == 0
      let made = update(table, address) {
        #expect($0.clients == 0 && $0.bannedUntil == 0)
        if isBanned { $0.bannedUntil = 1000 } else { $0.clients = UInt32(address) }
      }
      if made { kept[address] = isBanned ? 0 : UInt32(address) }
    }
    #expect(kept.count == table.capacity)
    for (address, expected) in kept { #expect(clients(table, address) == expected) }
    // When the bans are over their places are free, and only these.
    for address in UInt64(3_000_000)..<UInt64(3_000_000 + 4 * table.capacity) {
      _ = update(table, address, now: 1000) { $0.accepts.charge(1, Rate(1, per: .minute), now: 1000) }
    }
    for (address, expected) in kept where expected > 0 { #expect(clients(table, address) == expected) }
    let bans = kept.filter { $0.value == 0 }.keys
    #expect(bans.count { clients(table, $0) != nil } < bans.count / 10)
  }

  @Test func whatLosesLeastIsForgottenFirst() throws {
    let table = try table()
    let rate = Rate(1, per: .second)
    // Each has a token taken, the first ones the longest ago. All new ones have to take their places.
    let addresses = 1...UInt64(40 * table.capacity)
    for address in addresses {
      #expect(update(table, address, now: address) { $0.violations.charge(1, rate, now: address) })
    }
    let remembered = addresses.filter { clients(table, $0) != nil }
    #expect(remembered.count == table.capacity)
    // Of a set, the newest 15: on the whole, nearly all of the last few.
    #expect(remembered.count { $0 > addresses.upperBound - UInt64(2 * table.capacity) } > table.capacity * 9 / 10)
  }

  @Test func addressesPrefixesAndPairsAreKeptApart() throws {
    let table = try table()
    let address = AddressKey(bits: 0x2001_0db8_0000_0100)
    let fingerprints = [
      table.fingerprint(of: address), table.fingerprint(ofPrefixOf: address), table.fingerprint(of: 7, at: address),
      table.fingerprint(of: 8, at: address), table.fingerprint(of: AddressKey(bits: address.prefix)),
      table.fingerprint(of: 7, at: AddressKey(bits: address.prefix)),
    ]
    #expect(Set(fingerprints.map(\.bits)).count == fingerprints.count)
  }

  @Test func nobodyCanChooseASet() throws {
    // Under another key the same addresses fall elsewhere.
    let one = try table(seed: 1)
    let other = try table(seed: 2)
    let addresses = (0..<1000 as Range<UInt64>).map { AddressKey(bits: $0 << 16) }
    #expect(addresses.allSatisfy { one.fingerprint(of: $0) != other.fingerprint(of: $0) })
    #expect(Set(addresses.map { one.fingerprint(of: $0).bits % 256 }).count > 200)
  }

  @Test func itHasFourPlacesForEachClientUpToItsBound() throws {
    #expect(try table(clients: 1).capacity == 256 * 15)
    #expect(try table(clients: 10_000).capacity >= 40_000)
    #expect(try table(clients: 1 << 24).capacity == (1 << 17) * 15)
  }
}
