/// The methods of shared words as steps of a program.
extension ThreadProgram {
  typealias Accesses = [MemoryOrders.Access]

  mutating func get(_ accesses: Accesses, into register: Int, _ word: Int) {
    for access in accesses {
      switch access {
      case .load(let order): add(.load(into: register, word: word, order))
      case .fence: add(.fence)
      case .store, .exchange, .add: preconditionFailure("a read that is a \(access)")
      }
    }
  }

  mutating func set(_ accesses: Accesses, _ word: Int, to value: @escaping Value) {
    for access in accesses {
      switch access {
      case .store(let order): add(.store(word: word, value, order))
      case .fence: add(.fence)
      case .load, .exchange, .add: preconditionFailure("a write that is a \(access)")
      }
    }
  }

  mutating func raise(_ accesses: Accesses, _ word: Int) { set(accesses, word) { _ in 1 } }

  mutating func increase(_ accesses: Accesses, _ word: Int, by amount: Int16) {
    for access in accesses {
      switch access {
      case .add(let order): add(.add(amount, word: word, order))
      case .fence: add(.fence)
      case .load, .store, .exchange: preconditionFailure("a sum that is a \(access)")
      }
    }
  }

  /// Looks whether a flag is `wanted`, and exchanges it for the other value where it is. Jumps to `label` where not.
  /// Uses register 15.
  mutating func exchange(_ accesses: Accesses, _ word: Int, wanted: Int16, else label: String) {
    for access in accesses {
      switch access {
      case .fence: add(.fence)
      case .load(let order):
        add(.load(into: 15, word: word, order))
        jump(label) { $0[15] != wanted }
      case .exchange(let order):
        add(.exchange(into: 15, word: word, 1 - wanted, order))
        jump(label) { $0[15] != wanted }
      case .store(let order): add(.store(word: word, { _ in 1 - wanted }, order))
      case .add: preconditionFailure("a flag that is a sum")
      }
    }
  }

  /// Rings the sleeper behind `bell` if it has announced its sleep. `isFenced`: the program has fenced before.
  mutating func wake(_ orders: MemoryOrders, bell: Int, sleeps: Int, isFenced: Bool = false) {
    let over = newLabel()
    if !isFenced { add(.fence) }
    exchange(orders.takeSleep, sleeps, wanted: 1, else: over)
    add(.ring(bell: bell))
    label(over)
  }
}
