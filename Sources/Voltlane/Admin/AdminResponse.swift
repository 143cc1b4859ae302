import NIOHTTP1
import VoltlaneText

/// An answer of the admin endpoint.
struct AdminResponse: Sendable {
  var status = HTTPResponseStatus.ok
  var type: String
  var body: String
  /// Besides those that every answer has.
  var headers: [(String, String)] = []

  static func json(_ value: JSON, status: HTTPResponseStatus = .ok) -> AdminResponse {
    AdminResponse(status: status, type: "application/json", body: "\(value)\n")
  }

  static func text(_ text: String, status: HTTPResponseStatus = .ok) -> AdminResponse {
    AdminResponse(status: status, type: "text/plain; charset=utf-8", body: text + "\n")
  }

  static func wrong(_ reason: String) -> AdminResponse {
    json(.named([("error", .string(reason))]), status: .badRequest)
  }

  /// Too much is asked at a time, or there is nobody to ask.
  static func busy(_ reason: String) -> AdminResponse {
    var response = json(.named([("error", .string(reason))]), status: .serviceUnavailable)
    response.headers.append(("Retry-After", "1"))
    return response
  }

  /// All headers. Nothing may be stored, framed or taken for something else.
  func fields(isLast: Bool) -> HTTPHeaders {
    var fields = HTTPHeaders([
      ("Content-Type", type), ("Content-Length", "\(body.utf8.count)"), ("Cache-Control", "no-store"),
      ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
      ("Cross-Origin-Resource-Policy", "same-origin"),
    ])
    if !headers.contains(where: { $0.0 == StatusPage.policyHeader }) {
      fields.add(name: StatusPage.policyHeader, value: "default-src 'none'; frame-ancestors 'none'")
    }
    for (name, value) in headers { fields.add(name: name, value: value) }
    if isLast { fields.add(name: "Connection", value: "close") }
    return fields
  }
}
