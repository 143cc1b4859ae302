/// Addresses to which a shard's listeners are deaf for a while: the kernel drops their attempts to connect before they
/// cost anything.
///
/// To accept a connection and to close it again takes a third of what a handshake does, and nearly all of it is the
/// kernel's; no user-space program can refuse for less. So an address that goes on while it is refused is not refused
/// again and again. Only those are meant that were refused for what the address itself did: nobody pays for others.
///
/// Invariant: each address is there once, no more than `Limits.shunnedMost` are, and `next` is the first `until`.
struct ShunnedAddresses {
  private struct Entry {
    let address: AddressKey
    var until: UInt64
  }

  /// Refusals of one address since a moment. Addresses share places, and the last one refused has it: who floods keeps
  /// it long enough.
  private struct Refusals {
    var address = AddressKey.none
    var since: UInt64 = 0
    var count = 0
  }

  // Their memory is all had at the start.
  private var entries: [Entry] = []
  private var places = [Refusals](repeating: Refusals(), count: Limits.shunnedPlaces)
  /// Those of the entries, in their order.
  private(set) var addresses: [AddressKey] = []
  /// When the first of them is heard again; `.max` where there are none.
  private(set) var next = UInt64.max

  init() {
    entries.reserveCapacity(Limits.shunnedMost)
    addresses.reserveCapacity(Limits.shunnedMost)
  }

  /// A connection of an address was refused. True where the address is not to be heard from now on.
  mutating func refused(_ address: AddressKey, now: UInt64) -> Bool {
    let place = Int(truncatingIfNeeded: (address.bits &* 0x9e37_79b9_7f4a_7c15) >> 32) & (Limits.shunnedPlaces - 1)
    if places[place].address != address || now &- places[place].since >= Limits.second {
      places[place] = Refusals(address: address, since: now)
    }
    places[place].count += 1
    guard places[place].count >= Limits.shunnedAfter, entries.count < Limits.shunnedMost,
      !entries.contains(where: { $0.address == address })
    else { return false }
    places[place] = Refusals()
    let until = now &+ Limits.shunnedFor
    entries.append(Entry(address: address, until: until))
    addresses.append(address)
    next = min(next, until)
    return true
  }

  /// What they were refused for may hold no longer: their time is over.
  mutating func forgive() {
    for index in entries.indices { entries[index].until = 0 }
    if !entries.isEmpty { next = 0 }
  }

  /// Hears those again whose time is over.
  mutating func hear(now: UInt64) {
    entries.removeAll { $0.until <= now }
    addresses.removeAll(keepingCapacity: true)
    next = .max
    for entry in entries {
      addresses.append(entry.address)
      next = min(next, entry.until)
    }
  }
}
