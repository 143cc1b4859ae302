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

  func json(_ rows: [EndedRow]) -> JSON {
    let now = Relay.now
    let newest = rows.sorted { $0.time > $1.time }.prefix(top)
    return .named([("ended", .array(newest.map { $0.json(now: now) }))])
  }
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
