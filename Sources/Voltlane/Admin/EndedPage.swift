import Relay
import VoltlaneText

/// `/ended`: the sessions that ended last and the connections that were refused last, newest first.
struct EndedPage: Sendable {
  let top: Int

  init(_ request: AdminRequest) throws(AdminParameters.Wrong) {
    var parameters = AdminParameters(request)
    top = try parameters.takeTop(most: AdminLimits.mostEnded)
    try parameters.finish()
  }

  /// The newest rows among all that come in, whatever their number: no more than twice as many are kept.
  struct Collector: Sendable {
    private let top: Int
    private var rows: [EndedRow] = []
    /// What is older has no place on the page.
    private var oldest: UInt64 = 0

    fileprivate init(top: Int) { self.top = top }

    /// Whether another of the same shard, which gives the newest first, may have a place on the page.
    mutating func add(_ row: EndedRow) -> Bool {
      guard row.time >= oldest else { return false }
      rows.append(row)
      if rows.count >= 2 * top { cut() }
      return true
    }

    private mutating func cut() {
      rows.sort { $0.time > $1.time }
      guard rows.count >= top else { return }
      rows.removeLast(rows.count - top)
      oldest = rows[top - 1].time
    }

    var page: JSON {
      var all = self
      all.cut()
      let now = Relay.now
      return .named([("ended", .array(all.rows.map { $0.json(now: now) }))])
    }
  }

  var collector: Collector { Collector(top: top) }
}

extension EndedRow {
  func json(now: UInt64) -> JSON {
    let (reason, kind) =
      switch cause {
      case .session(let reason): (reason.label, "session")
      case .refusal(let reason): (reason.label, "refusal")
      }
    return .named([
      ("id", id == 0 && kind == "refusal" ? .null : .string(String(clientID: id))), ("address", .string(address.shown)),
      ("reason", .string(reason)), ("kind", .string(kind)), ("age_seconds", .seconds(age)),
      ("ago_seconds", .seconds(now > time ? now - time : 0)), ("bytes_up", .integer(bytesUp)),
      ("bytes_down", .integer(bytesDown)),
    ])
  }
}
