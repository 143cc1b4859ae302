import Testing
import VoltlaneNIO

@Suite struct EndpointTests {
  @Test(arguments: [
    ("127.0.0.1:42000", Endpoint.tcp(host: "127.0.0.1", port: 42000)),
    ("relay.example:1", .tcp(host: "relay.example", port: 1)),
    ("[::1]:0", .tcp(host: "::1", port: 0)),
    ("unix:/run/a b:c.sock", .unix(path: "/run/a b:c.sock")),
  ])
  func readsWhatItWrites(text: String, endpoint: Endpoint) throws {
    #expect(try Endpoint(text) == endpoint)
    #expect(endpoint.description == text)
  }

  @Test(arguments: [
    ("", EndpointError.missingPort("")),
    ("host", .missingPort("host")),
    ("host:", .invalidPort("")),
    ("host:65536", .invalidPort("65536")),
    ("host:+1", .invalidPort("+1")),
    ("host:-1", .invalidPort("-1")),
    ("host:http", .invalidPort("http")),
    (":42000", .invalidHost("")),
    ("a b:1", .invalidHost("a b")),
    ("::1:42000", .missingBrackets("::1:42000")),
    ("[]:1", .invalidHost("[]")),
    ("[host]:1", .invalidHost("[host]")),
    ("[::1:1", .missingBrackets("[::1:1")),
    ("unix:", .missingPath),
  ])
  func refuses(text: String, error: EndpointError) {
    #expect(throws: error) { try Endpoint(text) }
  }
}
