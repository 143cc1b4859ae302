import ArgumentParser
import VoltlaneSettings
import VoltlaneText

struct Clients: ControlCommand {
  static let configuration = CommandConfiguration(
    abstract: "The relay's sessions, sorted.",
    discussion: """
      Columns are id, address, state, age, idle, packets-up, bytes-up, packets-down, bytes-down, pending and memory. \
      The largest come first, unless --ascending says otherwise. Pending is what waits for the client; idle is how \
      long nothing has been carried for it.
      """)
  @OptionGroup var common: Common
  @Option(help: "The column to sort by.") var sort = Column.bytesDown
  @Flag(help: "The smallest first.") var ascending = false
  @Option(help: ArgumentHelp("How many to show.", valueName: "n")) var top = 20
  @Option(help: ArgumentHelp("Only those from this address or network.", valueName: "cidr")) var address: String?
  @Option(help: "Only those that are attached, half_closed or stale.") var state: String?

  func request() -> JSON {
    .object(
      [
        JSON.Member("command", "clients"), JSON.Member("sort", .string(sort.name)),
        JSON.Member("order", ascending ? "asc" : "desc"), JSON.Member("top", .integer(top)),
      ] + [("address", address), ("state", state)].compactMap { name, text in text.map { .init(name, .string($0)) } })
  }

  func show(_ answer: JSON) -> String {
    let clients = answer["clients"]?.array ?? []
    let total = answer["total"]?.integer ?? 0
    guard total > 0 else { return "no sessions" }
    return ClientTable.text(clients) + "\n\(clients.count) of \(total)"
  }
}

/// A column of ``Clients``, as it is typed.
enum Column: String, ExpressibleByArgument, CaseIterable {
  case id, address, state, age, idle, pending, memory
  case packetsUp = "packets-up"
  case bytesUp = "bytes-up"
  case packetsDown = "packets-down"
  case bytesDown = "bytes-down"

  /// As the relay calls it.
  var name: String {
    switch self {
    case .id, .address, .state: rawValue
    case .age: "age_seconds"
    case .idle: "idle_seconds"
    case .pending: "pending_bytes"
    case .memory: "memory_bytes"
    case .packetsUp: "packets_up"
    case .bytesUp: "bytes_up"
    case .packetsDown: "packets_down"
    case .bytesDown: "bytes_down"
    }
  }
}

struct Client: ControlCommand {
  static let configuration = CommandConfiguration(abstract: "All that the relay knows of one session.")
  @OptionGroup var common: Common
  @Argument(help: "Its id, 16 hexadecimal digits, as in the log.") var id: String

  func request() -> JSON { ["command": "clients", "id": .string(id)] }

  func run() throws {
    let answer = try common.connect().ask(request())
    guard let client = answer["clients"]?.array?.first else {
      throw ControlFailure.refused("there is no session \(id)")
    }
    try StandardOutput.write(common.json ? "\(client)" : show(client))
  }

  func show(_ client: JSON) -> String {
    Shown.pairs(ClientTable.columns.map { ($0.long, $0.text(client)) })
  }
}
