import Testing

@testable import Relay

/// What links a shard's connections with one another, against plain arrays.
@Suite struct ConnectionListProperties {
  private static let count = 40

  private func table() throws -> ConnectionTable {
    var connections = try ConnectionTable()
    for socket in 0..<Int32(Self.count) { _ = connections.add(socket, at: 0) }
    return connections
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `ready lists are queues without duplicates`(seed: UInt64) throws {
    let connections = try table()
    var random = SeededRandom(seed: seed)
    var lists = [ReadyList(.clients), ReadyList(.others)]
    var models: [[(index: UInt32, place: UInt32)]] = [[], []]
    for _ in 0..<2000 {
      let chosen = random.below(2)
      let index = UInt32(random.below(Self.count))
      switch random.below(4) {
      case 0:
        let first = lists[chosen].popFirst(connections)
        expect(first == models[chosen].first?.index)
        models[chosen] = Array(models[chosen].dropFirst())
      case 1:
        guard let place = models[chosen].firstIndex(where: { $0.index == index }) else { break }
        lists[chosen].remove(index, connections)
        models[chosen].remove(at: place)
      default:
        let place = lists[chosen].appended
        lists[chosen].append(index, connections)
        let isListed = models.contains { $0.contains { $0.index == index } }
        if !isListed { models[chosen].append((index, place)) }
        expect(lists[chosen].appended == place + (isListed ? 0 : 1))
      }
      for number in 0..<2 {
        let (list, model) = (lists[number], models[number])
        expect(list.count == model.count && list.isEmpty == model.isEmpty)
        expect(list.first == model.first?.index ?? .none)
        // Who came before some place has left, or has not.
        let place = list.appended - UInt32(random.below(min(20, Int(list.appended) + 1)))
        expect(list.isPast(place, connections) == !model.contains { $0.place < place })
      }
    }
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `queues lose and mix up nobody`(seed: UInt64) throws {
    let connections = try table()
    var random = SeededRandom(seed: seed)
    let kinds: [ConnectionQueue.Kind] = [
      .silent, .halfway, .challenged, .parkedNew, .parkedReturning, .returning, .gone,
    ]
    var queues = kinds.map(ConnectionQueue.init)
    var models: [[UInt32]] = kinds.map { _ in [] }
    for _ in 0..<2000 {
      let index = UInt32(random.below(Self.count))
      let chosen = random.below(kinds.count)
      if let holder = models.firstIndex(where: { $0.contains(index) }) {
        queues[holder].remove(index, connections)
        models[holder].removeAll { $0 == index }
      } else {
        queues[chosen].append(index, connections)
        models[chosen].append(index)
      }
      for kind in kinds.indices { expect(queues[kind].first == models[kind].first) }
    }
    for kind in kinds.indices {
      while let first = queues[kind].first {
        expect(first == models[kind].removeFirst())
        queues[kind].remove(first, connections)
      }
      expect(models[kind].isEmpty)
    }
  }

  /// A completion finds the connection that it is for, and none that has its slot later.
  @Test(arguments: 0..<8 as Range<UInt64>) func `tokens find their connection alone`(seed: UInt64) throws {
    var connections = try ConnectionTable()
    var random = SeededRandom(seed: seed)
    var live: [(index: UInt32, token: Token, socket: Int32)] = []
    var gone: [Token] = []
    for step in 0..<1000 as Range<Int32> {
      if random.below(3) > 0 || live.isEmpty {
        guard let index = connections.add(step, at: 0) else {
          Issue.record("the table is full")
          return
        }
        connections[index].phase = .version
        live.append((index, connections.token(.clientReadable, index), step))
      } else {
        let left = live.remove(at: random.below(live.count))
        connections[left.index].phase = .released
        if random.oneIn(2) {
          // A list of the turn has it: the slot is not free yet.
          connections[left.index].flags.insert(.dirty)
          connections.freeIfReleased(left.index)
          expect(connections[left.index].phase == .released)
          connections[left.index].flags.remove(.dirty)
        }
        connections.freeIfReleased(left.index)
        gone.append(left.token)
      }
      expect(connections.count == live.count)
      for connection in live.suffix(20) {
        expect(connections.find(connection.token) == connection.index)
        expect(connections[connection.index].socket == connection.socket)
      }
      for token in gone.suffix(20) { expect(connections.find(token) == nil) }
    }
  }
}

/// Who holds most, against a search through all.
@Suite struct LargestHoldersProperties {
  @Test(arguments: 0..<12 as Range<UInt64>) func `it names one of the largest`(seed: UInt64) throws {
    var connections = try ConnectionTable()
    let count = 60
    for socket in 0..<Int32(count) { _ = connections.add(socket, at: 0) }
    var random = SeededRandom(seed: seed)
    var holders = LargestHolders<WaitingBytes>()
    var model = Array(repeating: 0, count: count)
    for _ in 0..<1500 {
      let slot = random.below(count)
      switch random.below(4) {
      case 0:
        holders.remove(UInt32(slot), connections.slots)
        connections[UInt32(slot)].charged = 0
        connections[UInt32(slot)].waitingLinks = HolderLinks()
        model[slot] = 0
      default:
        // Every power of two, one less and one more.
        let held = random.oneIn(5) ? 0 : max(0, 1 << random.below(31) + random.below(3) - 1)
        let leaving = random.below(held + 1)
        connections[UInt32(slot)].charged = UInt32(held - leaving)
        connections[UInt32(slot)].chargedLeaving = UInt32(leaving)
        model[slot] = held
        holders.update(UInt32(slot), connections.slots)
      }
      let most = model.max() ?? 0
      let largest = holders.largest(connections.slots)
      expect((largest == nil) == (most == 0))
      // There are fewer than are looked at: it is the largest.
      if let largest { expect(model[Int(largest)] == most) }
      expect(most == 0 ? holders.largestClass == 0 : holders.largestClass <= most && most < 2 * holders.largestClass)
    }
  }
}
