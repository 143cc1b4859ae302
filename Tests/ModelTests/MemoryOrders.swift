import Foundation

/// The accesses of shared words as the relay's source has them: each method's, in their order, with their memory
/// orders. Read from the source, so that the model is of what is built, and fails where an order there is too weak.
struct MemoryOrders: Equatable {
  enum Access: Equatable {
    case load(WeakMemory.Order)
    case store(WeakMemory.Order)
    case exchange(WeakMemory.Order)
    case add(WeakMemory.Order)
    case fence
  }

  var publishedGet: [Access]
  var publishedSet: [Access]
  var relaxedGet: [Access]
  var relaxedSet: [Access]
  var raise: [Access]
  var raiseFirst: [Access]
  var takeDown: [Access]
  /// How a host that sleeps is found, after a fence.
  var takeSleep: [Access]
  var add: [Access]
  /// How a thread finds out at which host it has to wake a role.
  var findRole: [Access]
  /// How a shard is asked for something, and takes that.
  var ask: [Access]
  var takeRequest: [Access]
  /// How a set of the table of addresses is locked.
  var lock: [Access]
  var unlock: [Access]

  struct Unreadable: Error { let what: String }

  init() throws {
    let word = try SourceFile("Sources/Relay/Lanes/SharedWord.swift")
    publishedGet = try word.accesses("var published", "get")
    publishedSet = try word.accesses("var published", "nonmutating set")
    relaxedGet = try word.accesses("var relaxed", "get")
    relaxedSet = try word.accesses("var relaxed", "nonmutating set")
    raise = try word.accesses("func raise()")
    raiseFirst = try word.accesses("func raiseFirst()")
    takeDown = try word.accesses("func takeDown()")
    takeSleep = try SourceFile("Sources/Relay/Lanes/Bell.swift").calls("func takeSleep()").flatMap {
      try MemoryOrders.named($0, word)
    }
    add = try word.accesses("func add(")
    findRole = try SourceFile("Sources/Relay/Lanes/Bell.swift").calls("func wake<").flatMap {
      try MemoryOrders.named($0, word)
    }
    let table = try SourceFile("Sources/Relay/Protection/AddressTable.swift")
    lock = try table.accesses("private func lock(")
    unlock = try table.accesses("private func unlock(")
    let requests = try SourceFile("Sources/Relay/Shard/ShardRequests.swift")
    ask = try requests.calls("func ask(").flatMap { try MemoryOrders.named($0, word) }
    takeRequest = try requests.calls("func take(").flatMap { try MemoryOrders.named($0, word) }
  }

  /// The accesses of a use of a ``SharedWord`` that stands in the source as `.published = 1` or `.takeDown()`.
  private static func named(_ use: String, _ word: SourceFile) throws -> [Access] {
    switch use {
    case ".relaxed = ": try word.accesses("var relaxed", "nonmutating set")
    case ".published = ": try word.accesses("var published", "nonmutating set")
    case ".relaxed": try word.accesses("var relaxed", "get")
    case ".published": try word.accesses("var published", "get")
    case "SharedWord.fence()": try word.accesses("static func fence()")
    case ".takeDownAfterFence()": try word.accesses("func takeDownAfterFence()")
    case ".takeDown()": try word.accesses("func takeDown()")
    case ".raise()": try word.accesses("func raise()")
    default: throw Unreadable(what: use)
    }
  }
}

/// A file of the relay's source, of which only bodies of methods are looked at.
private struct SourceFile {
  private let path: String
  private let text: String

  init(_ path: String) throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    self.path = path
    text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
  }

  /// The text between the braces behind each of `names`, one within the other.
  private func body(_ names: [String]) throws -> Substring {
    var body = text[...]
    for name in names {
      guard let start = body.range(of: name), let open = body[start.upperBound...].firstIndex(of: "{") else {
        throw MemoryOrders.Unreadable(what: "\(path) has no \(names.joined(separator: ", "))")
      }
      var depth = 0
      guard
        let close = body[open...].indices.first(where: {
          if body[$0] == "{" { depth += 1 }
          if body[$0] == "}" { depth -= 1 }
          return depth == 0
        })
      else { throw MemoryOrders.Unreadable(what: "\(path): \(name) has no end") }
      body = body[body.index(after: open)..<close]
    }
    return body
  }

  func accesses(_ names: String...) throws -> [MemoryOrders.Access] {
    let pattern =
      #/
      \.(load|store|exchange|wrappingAdd|compareExchange)\(.*?ordering:\ \.(\w+)\)
      |(atomicMemoryFence)\(ordering:\ \.(\w+)\)
      /#
    let accesses = try body(names).matches(of: pattern).map { match -> MemoryOrders.Access in
      guard let order = WeakMemory.Order(rawValue: String(match.2 ?? match.4 ?? "")) else {
        throw MemoryOrders.Unreadable(what: "\(path): \(match.0)")
      }
      switch match.1 ?? match.3 ?? "" {
      case "load": return .load(order)
      case "store": return .store(order)
      case "exchange", "compareExchange": return .exchange(order)
      case "wrappingAdd": return .add(order)
      case "atomicMemoryFence" where order == .sequentiallyConsistent: return .fence
      default: throw MemoryOrders.Unreadable(what: "\(path): \(match.0)")
      }
    }
    guard !accesses.isEmpty else { throw MemoryOrders.Unreadable(what: "\(path): nothing in \(names)") }
    return accesses
  }

  /// The uses of shared words in a method's body, in their order. A test of `isAsked` is one as well.
  func calls(_ name: String) throws -> [String] {
    let pattern =
      #/
      SharedWord\.fence\(\)|\.relaxed\ =\ |\.published\ =\ |\.relaxed|\.published|\.takeDown\(\)|\.raise\(\)
      |\.takeDownAfterFence\(\)
      |isAsked\(shard\)
      /#
    return try body([name]).matches(of: pattern).map { $0.0 == "isAsked(shard)" ? ".relaxed" : String($0.0) }
  }
}
