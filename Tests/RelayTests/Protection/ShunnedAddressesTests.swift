import Testing

@testable import Relay

/// An address that keeps connecting while it is refused is ignored for a while.
@Suite struct ShunnedAddressesTests {
  private static func address(_ number: UInt32) -> AddressKey { ClientAddress(v4: 0x0a00_0000 + number).key }

  /// Refuses an address so often, and says whether it is shunned by that.
  private func refuse(_ times: Int, _ address: AddressKey, _ shunned: inout ShunnedAddresses, now: UInt64) -> Bool {
    (0..<times).count { _ in shunned.refused(address, now: now) } == 1
  }

  @Test func onlyWhoIsRefusedOftenWithinASecond() {
    var shunned = ShunnedAddresses()
    let address = Self.address(1)
    var now: UInt64 = 7 * Limits.second
    for _ in 0..<5 {
      #expect(!refuse(Limits.shunnedAfter - 1, address, &shunned, now: now))
      now += Limits.second
    }
    #expect(shunned.next == .max)
    #expect(refuse(Limits.shunnedAfter, address, &shunned, now: now))
    #expect(shunned.addresses == [address])
    #expect(shunned.next == now + Limits.shunnedFor)
    // What was on its way already is refused as well, and adds nothing.
    #expect(!refuse(2 * Limits.shunnedAfter, address, &shunned, now: now + 1))
    #expect(shunned.addresses == [address])
  }

  @Test func eachForItsTime() {
    var shunned = ShunnedAddresses()
    #expect(refuse(Limits.shunnedAfter, Self.address(1), &shunned, now: 0))
    #expect(refuse(Limits.shunnedAfter, Self.address(2), &shunned, now: 10))
    shunned.hear(now: Limits.shunnedFor)
    #expect(shunned.addresses == [Self.address(2)])
    #expect(shunned.next == Limits.shunnedFor + 10)
    #expect(refuse(Limits.shunnedAfter, Self.address(1), &shunned, now: Limits.shunnedFor))
    shunned.hear(now: .max - 1)
    #expect(shunned.addresses.isEmpty)
    #expect(shunned.next == .max)
  }

  @Test func forgivenAtOnce() {
    var shunned = ShunnedAddresses()
    shunned.forgive()
    #expect(shunned.next == .max)
    #expect(refuse(Limits.shunnedAfter, Self.address(1), &shunned, now: 5))
    shunned.forgive()
    #expect(shunned.next == 0)
    shunned.hear(now: 5)
    #expect(shunned.addresses.isEmpty)
    #expect(shunned.next == .max)
  }

  @Test func noMoreThanAFew() {
    var shunned = ShunnedAddresses()
    for number in 0..<UInt32(2 * Limits.shunnedMost) {
      #expect(
        refuse(Limits.shunnedAfter, Self.address(number), &shunned, now: 5) == (number < Limits.shunnedMost))
    }
    #expect(shunned.addresses.count == Limits.shunnedMost)
  }

  /// Through a relay: at the shard that refused it, and nobody else.
  @Test func aFloodIsNotHeardForAWhile() throws {
    let scene = try SessionScene(shards: 2) { $0.protection.maxClientsPerAddress = 1 }
    let offender = ClientAddress(v4: 0x0a00_0001)
    let neighbour = ClientAddress(v4: 0x0a00_0002)
    var member = scene.join(address: offender)
    func attempt(_ address: ClientAddress, shard: Int = 0) -> SimulatedSocket {
      let socket = scene.simulation.connect(shard: shard, address: address)
      scene.simulation.settle(for: 0)
      return socket
    }
    for _ in 0..<Limits.shunnedAfter { #expect(attempt(offender).relayClosed) }
    #expect(scene.simulation[.addressesShunned] == 1)
    #expect(attempt(offender).isUnheard)
    #expect(!attempt(offender, shard: 1).isUnheard)
    #expect(scene.simulation[.refusedAddressClients] == UInt64(Limits.shunnedAfter + 1))

    // Clients that are let in meanwhile pay nothing for it, and connected ones stay.
    #expect(attempt(neighbour).isUnburdened)
    #expect(!attempt(neighbour, shard: 1).isUnburdened)
    scene.send(member.id, [7])
    #expect(member.client.next() == [7])

    scene.simulation.pass(Limits.shunnedFor)
    #expect(!attempt(offender).isUnheard)
    #expect(!attempt(ClientAddress(v4: 0x0b00_0001)).isUnburdened)
  }

  /// What others have used up is nobody's own doing.
  @Test func limitsOfTheRelayShunNobody() throws {
    let scene = try SessionScene(shards: 1) {
      $0.protection.acceptRate = Rate(1, per: .minute)
      $0.protection.acceptRatePerAddress = nil
    }
    _ = scene.join(address: ClientAddress(v4: 1))
    for _ in 0..<2 * Limits.shunnedAfter {
      #expect(scene.simulation.connect(shard: 0, address: ClientAddress(v4: 2)).isUnheard == false)
      scene.simulation.settle(for: 0)
    }
    #expect(scene.simulation[.refusedAcceptRate] == UInt64(2 * Limits.shunnedAfter))
    #expect(scene.simulation[.addressesShunned] == 0)
  }

  /// Of the addresses in a /64, which count as one, single ones may be on a list: these are heard.
  @Test(arguments: ["allowed", "denied", "proxies", "none"]) func anotherOfThe64IsHeard(list: String) throws {
    let offender = ClientAddress(bits: UInt128(0x2001_0db8_0000_0001) << 64 | 1)
    let scene = try SessionScene(shards: 1) {
      $0.protection.maxClientsPerAddress = 1
      switch list {
      case "allowed": $0.protection.allowed = [try! Network("2001:db8:0:1::7")]
      case "denied":
        $0.protection.maxClientsPerAddress = nil
        $0.protection.acceptRatePerAddress = nil
        $0.protection.denied = [try! Network("2001:db8:0:1::1")]
      case "proxies": $0.protection.proxies = [try! Network("2001:db8:0:1::7")]
      default: break
      }
    }
    _ = scene.simulation.connect(shard: 0, address: offender)
    for _ in 0..<2 * Limits.shunnedAfter {
      _ = scene.simulation.connect(shard: 0, address: offender)
      scene.simulation.settle(for: 0)
    }
    let other = scene.simulation.connect(shard: 0, address: ClientAddress(bits: offender.bits + 6))
    scene.simulation.settle(for: 0)
    #expect(other.isUnheard == (list == "none"))
    #expect(other.relayClosed == false)
    #expect(scene.simulation[.addressesShunned] == (list == "none" ? 1 : 0))
  }
}
