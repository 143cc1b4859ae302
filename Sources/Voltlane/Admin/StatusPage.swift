import CStatusPage
import VoltlaneCrypto

/// The page at `/`, and the policy under which a browser runs it. Its unsafe code reads a constant of the program, with
/// the size that the compiler has given it.
enum StatusPage {
  static let policyHeader = "Content-Security-Policy"

  static let html: String = {
    let bytes = unsafe UnsafeBufferPointer(start: voltlane_status_page(), count: voltlane_status_page_size())
    return unsafe String(decoding: bytes, as: UTF8.self)
  }()

  /// Nothing but this page's own style sheet and script runs, whatever gets into the page.
  static let policy: String = {
    """
    default-src 'none'; script-src \(sources(between: "script")); style-src \(sources(between: "style")); \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'
    """
  }()

  static let response = AdminResponse(
    type: "text/html; charset=utf-8", body: html, headers: [(policyHeader, policy)])

  /// The hash of what stands between the page's only two tags of this name.
  private static func sources(between tag: String) -> String {
    let (start, end) = (Array("<\(tag)>".utf8), Array("</\(tag)>".utf8))
    let bytes = Array(html.utf8)
    guard let first = bytes.firstRange(of: start), let last = bytes[first.upperBound...].firstRange(of: end) else {
      return "'none'"
    }
    return "'sha256-\(base64(SHA256.hash(bytes[first.upperBound..<last.lowerBound])))'"
  }

  static func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
      for place in 0..<4 { text.append(place <= group.count ? digits[bits >> (18 - 6 * place) & 63] : "=") }
    }
    return text
  }
}
