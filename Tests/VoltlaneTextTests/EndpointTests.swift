import Testing
import VoltlaneText

@Suite struct EndpointTests {
  @Test(
    arguments: [
      ("127.0.0.1:42000", .tcp(host: "127.0.0.1", port: 42000)),
      ("backend.example:1", .tcp(host: "backend.example", port: 1)),
      ("0.0.0.0:0", .tcp(host: "0.0.0.0", port: 0)),
      ("[::1]:65535", .tcp(host: "::1", port: 65535)),
      ("[fe80::1%eth0]:80", .tcp(host: "fe80::1%eth0", port: 80)),
      ("unix:/run/voltlane.sock", .unix(path: "/run/voltlane.sock")),
      ("unix:/a:1", .unix(path: "/a:1")),
      ("unix:/run/a b.sock", .unix(path: "/run/a b.sock")),
    ] as [(String, Endpoint)])
  func textAndBack(text: String, endpoint: Endpoint) throws {
    #expect(try Endpoint(text) == endpoint)
    #expect(endpoint.description == text)
  }

  @Test(
    arguments: [
      ("", .missingPort("")),
      ("host", .missingPort("host")),
      ("host:", .invalidPort("")),
      ("host:65536", .invalidPort("65536")),
      ("host:-1", .invalidPort("-1")),
      ("host:+1", .invalidPort("+1")),
      ("host:1x", .invalidPort("1x")),
      ("host:\u{0661}", .invalidPort("\u{0661}")),
      ("::1:80", .missingBrackets("::1")),
      ("[::1]", .invalidPort("1]")),
      ("[host]:80", .invalidHost("[host]")),
      ("[]:80", .invalidHost("[]")),
      ("[[::1]]:80", .invalidHost("[[::1]]")),
      (":80", .invalidHost("")),
      ("a b:80", .invalidHost("a b")),
      ("http://host:80", .missingBrackets("http://host")),
      ("unix:", .invalidPath("")),
      ("unix:/", .invalidPath("/")),
      ("unix:run/x", .invalidPath("run/x")),
      ("unix:/a\0b", .invalidPath("/a\0b")),
    ] as [(String, EndpointError)])
  func refused(text: String, error: EndpointError) {
    #expect(throws: error) { try Endpoint(text) }
    #expect(!error.description.isEmpty)
  }

  @Test func pathHasAtMost107Bytes() throws {
    let longest = "/" + String(repeating: "x", count: 106)
    #expect(try Endpoint("unix:\(longest)") == .unix(path: longest))
    #expect(throws: EndpointError.pathTooLong(longest + "x")) { try Endpoint("unix:\(longest)x") }
    // Bytes, not characters.
    #expect(throws: EndpointError.self) { try Endpoint("unix:/" + String(repeating: "ä", count: 54)) }
  }
}
