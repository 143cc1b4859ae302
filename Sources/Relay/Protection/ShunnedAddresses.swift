/// Addresses that a shard's listeners ignore for a while: the kernel drops their attempts to connect before they cost
/// anything.
///
/// Accepting and closing a connection takes a third of the cost of a handshake, and nearly all of it is the kernel's;
/// no user-space program can refuse for less. So an address that keeps connecting while it is refused is ignored
/// instead. Only addresses that were refused for what they did themselves are meant: nobody pays for others.
///
/// Invariant: each address is listed once, at most `Limits.shunnedMost` are, and `next` is the earliest `until`.
struct ShunnedAddresses {
  private struct Entry {
    let address: AddressKey
    var until: UInt64
  }

  /// Refusals of one address since some moment. Addresses share places, and the last one refused has it: a flooding
  /// address keeps it for long enough.
  private struct Refusals {
    var address = AddressKey.none
    var since: UInt64 = 0
    var count = 0
  }

  // All of their memory is reserved at the start.
  private var entries: [Entry] = []
  private var places = [Refusals](repeating: Refusals(), count: Limits.shunnedPlaces)
  /// The keys of the entries, in the same order.
  private(set) var addresses: [AddressKey] = []
  /// When the first of them is heard again; `.max` if there are none.
  private(set) var next = UInt64.max

  init() {
    entries.reserveCapacity(Limits.shunnedMost)
    addresses.reserveCapacity(Limits.shunnedMost)
  }

  /// A connection of an address was refused. True if the address is to be ignored from now on.
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

  /// Ends the time of all of them: the reasons for which they were refused may no longer apply.
  mutating func forgive() {
    for index in entries.indices { entries[index].until = 0 }
    if !entries.isEmpty { next = 0 }
  }

  /// Hears those addresses again whose time is over.
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
