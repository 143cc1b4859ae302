import VoltlaneText

/// Numbers and tables as people read them.
enum Shown {
  static func count(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

  /// The two largest units: `2d 3h`, `4m 5s`, `12s`.
  static func time(_ seconds: Double) -> String {
    // A number of the relay's is never as large as that, and nothing here relies on it.
    let seconds = Int(min(max(0, seconds), 1e15))
    let units = [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)]
    guard let first = units.firstIndex(where: { $0.1 > 0 }) else { return "0s" }
    return units[first...].prefix(2).filter { $0.1 > 0 }.map { "\($0.1)\($0.0)" }.joined(separator: " ")
  }

  /// `1.4 MB`.
  static func bytes(_ bytes: Int) -> String { "\(amount(Double(bytes)))B" }

  /// With a prefix for thousands: `999 `, `1.4 k`.
  static func amount(_ amount: Double) -> String {
    var (value, prefix) = (max(0, amount), 0)
    let prefixes = ["", "k", "M", "G", "T", "P", "E"]
    while value >= 999.5, prefix < prefixes.count - 1 {
      value /= 1000
      prefix += 1
    }
    guard prefix > 0, value < 9.95 else { return "\(Int(min(value, 1e15).rounded())) \(prefixes[prefix])" }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(prefixes[prefix])"
  }

  /// Names and values in two columns.
  static func pairs(_ rows: [(String, String)]) -> String {
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { "\(padded($0.0, width))  \($0.1)" }.joined(separator: "\n")
  }

  static func padded(_ text: String, _ width: Int, right: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return right ? space + text : text + space
  }
}

/// What a reload or a command changed.
enum Changes {
  static func text(_ answer: JSON) -> String {
    func lines(_ name: String, _ ending: (JSON) -> String) -> [String] {
      (answer[name]?.array ?? []).map { change in
        "\(change["setting"]?.string ?? "?"): \(change["change"]?.string ?? "?")\(ending(change))"
      }
    }
    var all = lines("changes") { $0["protects_less"]?.bool == true ? "; this protects less than before" : "" }
    all += lines("need_restart") { _ in ", from the next start on" }
    all += (answer["warnings"]?.array ?? []).compactMap(\.string).map { "warning: \($0)" }
    if all.isEmpty { all.append("no setting has changed") }
    if let remark = answer["remark"]?.string { all.append(remark) }
    return all.joined(separator: "\n")
  }
}

/// Sessions as a table.
enum ClientTable {
  struct Column {
    let long: String
    let head: String
    /// Numbers stand to the right.
    let isNumber: Bool
    let text: @Sendable (JSON) -> String
  }

  static let columns: [Column] = [
    Column(long: "id", head: "ID", isNumber: false) { $0["id"]?.string ?? "?" },
    Column(long: "address", head: "ADDRESS", isNumber: false) { $0["address"]?.string ?? "?" },
    Column(long: "state", head: "STATE", isNumber: false) { $0["state"]?.string ?? "?" },
    Column(long: "age", head: "AGE", isNumber: true) { Shown.time($0["age_seconds"]?.real ?? 0) },
    Column(long: "idle", head: "IDLE", isNumber: true) { Shown.time($0["idle_seconds"]?.real ?? 0) },
    Column(long: "packets up", head: "PACKETS UP", isNumber: true) { Shown.amount($0["packets_up"]?.real ?? 0) },
    Column(long: "bytes up", head: "BYTES UP", isNumber: true) { Shown.bytes($0["bytes_up"]?.integer ?? 0) },
    Column(long: "packets down", head: "PACKETS DOWN", isNumber: true) { Shown.amount($0["packets_down"]?.real ?? 0) },
    Column(long: "bytes down", head: "BYTES DOWN", isNumber: true) { Shown.bytes($0["bytes_down"]?.integer ?? 0) },
    Column(long: "pending", head: "PENDING", isNumber: true) { Shown.bytes($0["pending_bytes"]?.integer ?? 0) },
    Column(long: "memory", head: "MEMORY", isNumber: true) { Shown.bytes($0["memory_bytes"]?.integer ?? 0) },
  ]

  /// With a head.
  static func lines(_ clients: [JSON]) -> [String] {
    let cells = [columns.map(\.head)] + clients.map { client in columns.map { $0.text(client) } }
    let widths = columns.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
    return cells.map { row in
      zip(columns.indices, row).map { Shown.padded($1, widths[$0], right: columns[$0].isNumber) }
        .joined(separator: "  ")
    }
  }

  static func text(_ clients: [JSON]) -> String { lines(clients).joined(separator: "\n") }
}
