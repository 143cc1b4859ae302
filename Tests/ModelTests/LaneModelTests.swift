import Testing

/// A second opinion on the lanes: the memory orders of the relay's source, in small models of what its threads do with
/// them, explored exhaustively (``Explorer``). No thread sleeps with work left, no byte is read before it was
/// published or written before it was given back, nothing is taken out of order.
///
/// That this would find a mistake is shown as well: each order that is weakened, and each step that is left out or done
/// too early, makes one of the models fail.
@Suite struct LaneModelTests {
  private static let mostStates = 3_000_000

  @Test(arguments: LaneModels.all.indices)
  func `it holds in every order of steps`(index: Int) throws {
    let model = LaneModels.all[index]
    let outcome = Explorer(model.make(LaneModels(orders: try MemoryOrders()))).explore(atMost: Self.mostStates)
    guard case .holds(let states) = outcome else {
      Issue.record("\(model.name): \(outcome)")
      return
    }
    print("\(model.name): \(states) states")
    // Fewer would not be every order of anything.
    #expect(states > 20)
  }

  /// Each access of the source, weakened or left out, and the models that have to notice.
  private static let weakened: [(name: String, @Sendable (inout MemoryOrders) -> Void)] = [
    ("a position is stored relaxed", { $0.publishedSet = [.store(.relaxed)] }),
    ("a position is loaded relaxed", { $0.publishedGet = [.load(.relaxed)] }),
    ("a flag is raised without a fence", { $0.raise.removeAll { $0 == .fence } }),
    ("a flag is raised behind its fence", { $0.raise.reverse() }),
    ("a flag is looked at without a fence", { $0.takeDown.removeAll { $0 == .fence } }),
    ("a flag is looked at before its fence", { $0.takeDown = [.load(.relaxed), .fence] + $0.takeDown.suffix(1) }),
    ("a role is looked for without a fence", { $0.findRole.removeAll { $0 == .fence } }),
    ("a role is looked for before its fence", { $0.findRole.reverse() }),
    ("a tally is told without a fence", { $0.raiseFirst.removeAll { $0 == .fence } }),
    ("a request is taken by a load and a store", { $0.takeRequest = [.load(.relaxed), .store(.relaxed)] }),
    ("a request is made without an order", { $0.ask = [.store(.relaxed)] }),
    ("a lock is taken relaxed", { $0.lock[0] = .exchange(.relaxed) }),
    ("a lock is given back relaxed", { $0.unlock = [.store(.relaxed)] }),
  ]

  @Test(arguments: weakened.indices)
  func `a weaker order is noticed`(index: Int) throws {
    let original = try MemoryOrders()
    var orders = original
    Self.weakened[index].1(&orders)
    #expect(orders != original, "it is so already")
    Self.expectFailure(LaneModels(orders: orders), Self.weakened[index].name)
  }

  @Test(arguments: LaneModels.Mistake.allCases)
  func `a step out of order is noticed`(mistake: LaneModels.Mistake) throws {
    Self.expectFailure(LaneModels(orders: try MemoryOrders(), mistake: mistake), "\(mistake)")
  }

  private static func expectFailure(_ models: LaneModels, _ what: String) {
    let failure = LaneModels.all.lazy.compactMap { name, make -> String? in
      Explorer(make(models)).explore(atMost: mostStates).failure.map { "\(name): \($0)" }
    }.first
    print("\(what): \(failure ?? "nothing")")
    #expect(failure != nil, "\(what): no model notices")
  }
}
