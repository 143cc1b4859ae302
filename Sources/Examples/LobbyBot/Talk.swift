import LobbyPackets

/// What a member has said and heard. No I/O. It checks what it hears, so it is the tests' checker too.
struct Talk {
  struct Wrong: Error, CustomStringConvertible {
    var description: String
  }

  let name: String
  /// How many lines it says in all.
  let last: Int
  /// The last of its own lines that was confirmed.
  private(set) var confirmed = 0
  private var heard: [String: Int] = [:]
  /// Members whose last line may come once more, because its confirmation may have been lost with something that died.
  private var mayRepeat: Set<String> = []
  private var unreported = 0
  /// The server knows who this member is.
  private var isIn = false

  init(name: String, last: Int) {
    self.name = name
    self.last = last
  }

  var isDone: Bool { confirmed == last }

  /// A new session: nobody knows who this member is.
  mutating func begin() -> MemberPacket {
    isIn = false
    mayRepeat = Set(heard.keys)
    return again()
  }

  /// What to say again if nothing was confirmed for a while.
  func again() -> MemberPacket {
    isIn ? line : .join(name: name, next: confirmed + 1)
  }

  private var line: MemberPacket { .say(number: confirmed + 1, text: "line \(confirmed + 1) of \(name)") }

  /// Takes a packet, and returns what to answer.
  mutating func hear(_ packet: LobbyPacket) throws(Wrong) -> [MemberPacket] {
    switch packet {
    case .whoAreYou:
      return [begin()]
    case .welcome(let known, _):
      isIn = true
      guard known >= confirmed else {
        throw Wrong(description: "the server forgot line \(confirmed), and has \(known)")
      }
      confirmed = known
      return isDone ? [] : [line]
    case .confirmed(let number):
      guard number <= confirmed + 1 else { throw Wrong(description: "line \(number) was never said") }
      guard number == confirmed + 1 else { return [] }
      confirmed = number
      return isDone ? [] : [line]
    case .said(let other, let number, let text):
      guard text == "line \(number) of \(other)" else { throw Wrong(description: "'\(text)' is nothing \(other) said") }
      let before = heard[other] ?? 0
      guard number > before || number == before && mayRepeat.remove(other) != nil else {
        throw Wrong(description: "line \(number) of \(other) came after \(before)")
      }
      heard[other] = number
      unreported += 1
      guard unreported == 16 else { return [] }
      unreported = 0
      return [.read(16)]
    case .missed, .pong:
      return []
    }
  }
}
