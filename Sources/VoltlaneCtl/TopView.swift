import VoltlaneText

/// What `top` shows, and what its keys do. It touches neither terminal nor relay.
struct TopView {
  enum Effect: Equatable {
    case nothing
    /// Something else is to be shown.
    case look
    case kick(id: String)
    case quit
  }

  private(set) var isPaused = false
  /// What is said below until the next key.
  var note = ""
  private var column = Column.bytesDown
  private var isAscending = false
  private var isHelping = false
  /// Whom the question is about.
  private var asked: JSON?
  /// The chosen client, which stays chosen wherever the order takes it.
  private var chosen: String?
  private var place = 0

  private var status: JSON
  /// Why there is no relay to ask; what is shown besides is what the last one said.
  private var absence: String?
  private var rates: [String: Double] = [:]
  private var time: ContinuousClock.Instant?
  private var clients: [JSON] = []
  private var total = 0

  init(status: JSON) { self.status = status }

  private static let sorts: [(key: Character, column: Column)] = [
    ("i", .id), ("a", .address), ("g", .age), ("d", .idle), ("u", .bytesUp), ("n", .bytesDown), ("p", .pending),
    ("m", .memory),
  ]

  /// What there is to be asked for.
  func request(rows: Int) -> JSON {
    [
      "command": "clients", "sort": .string(column.name), "order": isAscending ? "asc" : "desc",
      "top": .integer(max(1, rows - Self.linesAround)),
    ]
  }

  /// All lines but those of clients.
  private static let linesAround = 6

  mutating func take(status new: JSON, clients answer: JSON, now: ContinuousClock.Instant = .now) {
    absence = nil
    if new["pid"] != status["pid"] { (time, rates) = (nil, [:]) }
    if let time {
      let seconds = time.duration(to: now) / .seconds(1)
      for name in ["packets_up", "bytes_up", "packets_down", "bytes_down"] where seconds > 0 {
        rates[name] = ((new[name]?.real ?? 0) - (status[name]?.real ?? 0)) / seconds
      }
    }
    (status, time) = (new, now)
    clients = answer["clients"]?.array ?? []
    total = answer["total"]?.integer ?? 0
    if let index = clients.firstIndex(where: { $0["id"]?.string == chosen }) { place = index }
    choose(place)
  }

  /// The relay does not answer.
  mutating func lose(_ reason: String) { (absence, time, rates) = (reason, nil, [:]) }

  private mutating func choose(_ index: Int) {
    place = min(max(0, index), max(0, clients.count - 1))
    chosen = place < clients.count ? clients[place]["id"]?.string : nil
  }

  // MARK: Keys

  mutating func press(_ key: Terminal.Key) -> Effect {
    note = ""
    if let asked {
      self.asked = nil
      guard key == .character("y"), let id = asked["id"]?.string else {
        note = "nobody was kicked"
        return .nothing
      }
      return .kick(id: id)
    }
    if isHelping {
      isHelping = false
      return key == .character("q") ? .quit : .nothing
    }
    switch key {
    case .up, .character("k"): choose(place - 1)
    case .down, .character("j"): choose(place + 1)
    case .pageUp: choose(place - 10)
    case .pageDown: choose(place + 10)
    // Ctrl-C and Ctrl-D end it, too.
    case .character("q"), .character("\u{3}"), .character("\u{4}"): return .quit
    case .character("h"), .character("?"): isHelping = true
    case .character(" "):
      isPaused.toggle()
      return .look
    case .character("r"):
      isAscending.toggle()
      return .look
    case .character("x"): if place < clients.count { asked = clients[place] }
    case .character(let letter):
      guard let sort = Self.sorts.first(where: { $0.key == letter }) else { break }
      // The largest first, except for words.
      (column, isAscending) = (sort.column, sort.column == .id || sort.column == .address)
      return .look
    case .escape: break
    }
    return .nothing
  }

  // MARK: Lines

  func lines(columns: Int, rows: Int) -> [Terminal.Line] {
    if isHelping { return Self.help.map { Terminal.Line($0) } }
    var lines = [
      Terminal.Line(
        "voltlane \(text("version"))  \(text("state"))  up \(Shown.time(status["uptime_seconds"]?.real ?? 0))"
          + (isPaused ? "  PAUSED" : "") + (absence.map { "  NO RELAY: \($0)" } ?? ""), .bold),
      Terminal.Line(
        "up \(rate("packets_up", "packets"))  \(rate("bytes_up", "B"))   "
          + "down \(rate("packets_down", "packets"))  \(rate("bytes_down", "B"))"),
      Terminal.Line(
        "sessions \(number("sessions"))  ended \(number("sessions_ended"))  refused \(number("clients_refused"))  "
          + "bans \(number("bans"))  backend \(Shown.time(status["backend_behind_seconds"]?.real ?? 0)) behind"),
      Terminal.Line(""),
    ]
    let table = ClientTable.lines(clients)
    lines.append(Terminal.Line(table[0], .bold))
    for (index, line) in table.dropFirst().prefix(max(0, rows - Self.linesAround)).enumerated() {
      lines.append(Terminal.Line(line, index == place ? .reverse : .plain))
    }
    while lines.count < rows - 1 { lines.append(Terminal.Line("")) }
    lines.append(foot)
    return lines
  }

  private var foot: Terminal.Line {
    if let asked {
      let who = "\(asked["id"]?.string ?? "?") from \(asked["address"]?.string ?? "?")"
      return Terminal.Line("kick \(who)? y: yes, any other key: no", .reverse)
    }
    if !note.isEmpty { return Terminal.Line(note, .bold) }
    let order = isAscending ? "smallest first" : "largest first"
    return Terminal.Line(
      "\(clients.count) of \(total), by \(column.rawValue), \(order)   h help  q quit", .dim)
  }

  private func text(_ name: String) -> String { status[name]?.string ?? "?" }
  private func number(_ name: String) -> Int { status[name]?.integer ?? 0 }

  private func rate(_ name: String, _ unit: String) -> String {
    guard let rate = rates[name] else { return "- \(unit)/s" }
    return "\(Shown.amount(rate))\(unit)/s"
  }

  private static let help = [
    "up, down, j, k     choose a client", "x                  kick it, after a question", "",
    "Sort by", "  i id             u bytes up", "  a address        n bytes down", "  g age            p pending",
    "  d idle           m memory", "", "r                  turn the order round",
    "space              pause, and go on", "q                  quit", "", "any key goes back",
  ]
}
