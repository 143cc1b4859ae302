import Relay
import VoltlaneText

/// `/clients`: a page of the relay's sessions, sorted and filtered.
struct ClientsPage: Sendable {
  enum Column: String, CaseIterable, Sendable {
    case id, address, state
    case age = "age_seconds"
    case idle = "idle_seconds"
    case packetsUp = "packets_up"
    case bytesUp = "bytes_up"
    case packetsDown = "packets_down"
    case bytesDown = "bytes_down"
    case pending = "pending_bytes"
    case memory = "memory_bytes"
  }

  let filter: ClientFilter
  private let column: Column
  private let isDescending: Bool
  private let top: Int
  private let after: Place?

  /// A row's place in the order: its value in the column by which they are sorted, and its id among equal ones.
  struct Place: Comparable, Sendable {
    let value: UInt64
    let text: String
    let id: UInt64

    static func < (a: Place, b: Place) -> Bool { (a.value, a.text, a.id) < (b.value, b.text, b.id) }
  }

  init(_ request: AdminRequest) throws(AdminParameters.Wrong) {
    var parameters = AdminParameters(request)
    let columns = Column.allCases.map(\.rawValue).joined(separator: ", ")
    column = try parameters.take("sort", allowed: columns, Column.init(rawValue:)) ?? .id
    isDescending =
      try parameters.take("order", allowed: "asc, desc") { ["asc", "desc"].contains($0) ? $0 == "desc" : nil }
      ?? false
    top = try parameters.takeTop(most: AdminLimits.mostClients)
    after = try parameters.take("after", allowed: "what 'next' of the last page says", Self.place)
    filter = ClientFilter(
      addresses: try parameters.take("address", allowed: "an address or a network such as 192.0.2.0/24") { text in
        (try? Network(text)).map(AddressRange.init)
      },
      state: try parameters.take("state", allowed: ClientRow.State.allCases.map(\.label).joined(separator: ", ")) {
        text in
        ClientRow.State.allCases.first { $0.label == text }
      },
      id: try parameters.take("id", allowed: "16 hexadecimal digits", Self.id))
    try parameters.finish()
  }

  /// The first page, as a command asks for it.
  init(_ filter: ClientFilter, sortedBy column: Column, isDescending: Bool, top: Int) {
    self.filter = filter
    self.column = column
    self.isDescending = isDescending
    self.top = top
    after = nil
  }

  /// An id as JSON has it.
  static func id(_ text: String) -> UInt64? {
    text.utf8.count == 16 && text.allSatisfy(\.isHexDigit) ? UInt64(text, radix: 16) : nil
  }

  // MARK: Order

  private func place(_ row: ClientRow) -> Place {
    let (value, text): (UInt64, String) =
      switch column {
      case .id: (0, "")
      case .address: (0, row.address.shown)
      case .state: (0, row.state.label)
      case .age: (row.age, "")
      case .idle: (row.idle, "")
      case .packetsUp: (row.packetsUp, "")
      case .bytesUp: (row.bytesUp, "")
      case .packetsDown: (row.packetsDown, "")
      case .bytesDown: (row.bytesDown, "")
      case .pending: (UInt64(max(0, row.pendingBytes)), "")
      case .memory: (UInt64(max(0, row.memoryBytes)), "")
      }
    return Place(value: value, text: text, id: row.id)
  }

  /// As a cursor: value, id and text, of which only the last may have a colon.
  private static func cursor(_ place: Place) -> String { "\(place.value):\(String(clientID: place.id)):\(place.text)" }

  private static func place(_ cursor: String) -> Place? {
    let parts = cursor.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let value = UInt64(parts[0]), let id = id(String(parts[1])) else { return nil }
    return Place(value: value, text: String(parts[2]), id: id)
  }

  // MARK: The page

  /// The rows of the page among all that come in, whatever their number: no more than twice as many are kept.
  struct Collector: Sendable {
    private let order: ClientsPage
    private(set) var total = 0
    private var isMore = false
    private var rows: [(place: Place, row: ClientRow)] = []

    fileprivate init(_ order: ClientsPage) { self.order = order }

    mutating func add(_ row: ClientRow) {
      total += 1
      let place = order.place(row)
      // What the last pages had.
      if let after = order.after, order.isDescending ? place >= after : place <= after { return }
      rows.append((place, row))
      if rows.count >= 2 * order.top { cut() }
    }

    private mutating func cut() {
      let isDescending = order.isDescending
      rows.sort { isDescending ? $1.place < $0.place : $0.place < $1.place }
      guard rows.count > order.top else { return }
      isMore = true
      rows.removeLast(rows.count - order.top)
    }

    var page: JSON {
      var all = self
      all.cut()
      let next = all.isMore ? all.rows.last.map { JSON.string(ClientsPage.cursor($0.place)) } : nil
      return .named([
        ("clients", .array(all.rows.map { $0.row.json })), ("next", next ?? .null), ("total", .count(total)),
      ])
    }
  }

  var collector: Collector { Collector(self) }
}

extension ClientRow {
  var json: JSON {
    .named([
      ("id", .string(String(clientID: id))), ("address", .string(address.shown)), ("state", .string(state.label)),
      ("age_seconds", .seconds(age)), ("idle_seconds", .seconds(idle)), ("packets_up", .integer(packetsUp)),
      ("bytes_up", .integer(bytesUp)), ("packets_down", .integer(packetsDown)), ("bytes_down", .integer(bytesDown)),
      ("pending_bytes", .count(pendingBytes)), ("memory_bytes", .count(memoryBytes)),
    ])
  }
}

extension ClientRow.State {
  var label: String {
    switch self {
    case .attached: "attached"
    case .halfClosed: "half_closed"
    case .stale: "stale"
    }
  }
}

extension AddressKey {
  /// As a table has it. Unix sockets have no address, and share the key of ::1.
  var shown: String { self == .none ? "local" : description }
}
