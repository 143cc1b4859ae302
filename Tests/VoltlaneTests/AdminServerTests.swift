import Glibc
import NIOCore
import NIOHTTP1
import Relay
import Synchronization
import Testing

@testable import Voltlane

/// The admin endpoint over real sockets, with clients of every kind of malice. There is no relay behind it, which is
/// all that is left of one for a moment at its start and at its end.
@Suite struct AdminServerTests {
  /// An endpoint on a free port.
  private final class Scene {
    let server: AdminServer
    let port: UInt16

    init(allowed: [String] = []) throws {
      server = try AdminServer(
        AdminConfiguration(allowed: allowed.map { try Network($0) }), at: .tcp(host: "127.0.0.1", port: 0))
      guard case .tcp(_, let port) = server.endpoint else { throw HTTPSocket.Failure(call: "listen", errno: 0) }
      self.port = port
    }

    deinit { server.stop() }

    func connect() throws -> HTTPSocket { try HTTPSocket(to: port) }

    /// Whether a well-behaved client is answered.
    func serves() throws -> Bool { try connect().get("/livez")?.status == 200 }
  }

  // MARK: Requests

  @Test func `paths are answered, and nothing else`() throws {
    let scene = try Scene()
    // One connection for all of them, but for malformed ones, which end it.
    var socket = try scene.connect()
    for (path, status) in [
      ("/livez", 200), ("/livez?x=1", 200), ("/readyz", 503), ("/metrics", 503), ("/varz", 503), ("/clients", 503),
      ("/ended", 503), ("/", 200), ("/nothing", 404), ("//livez", 404), ("/livez/", 404), ("/../livez", 404),
      ("/%6civez", 404), ("/./livez", 404), ("/livez%00", 404), ("/livez;x", 404), ("/LIVEZ", 404),
      ("/..%2f..%2fetc/passwd", 404), ("/clients?top=0", 400), ("/clients?top=1001", 400), ("/clients?sort=name", 400),
      ("/clients?top=1&top=2", 400), ("/clients?address=10.0.0.1/8", 400), ("/clients?id=12", 400),
      ("/clients?state=gone", 400), ("/clients?after=x", 400), ("/clients?colour=red", 400), ("/clients?top=%zz", 400),
      ("/ended?top=10001", 400), ("/ended?top=-1", 400), ("/clients?address=%ff", 400),
    ] {
      let answer = try #require(socket.get(path), "\(path)")
      #expect(answer.status == status, "\(path)")
      if answer.fields["connection"] == "close" { socket = try scene.connect() }
      #expect(answer.fields["x-content-type-options"] == "nosniff" && answer.fields["cache-control"] == "no-store")
      #expect(answer.fields["content-security-policy"]?.hasPrefix("default-src 'none'") == true)
      if status == 400, !path.contains("%") { #expect(answer.body.contains("error"), "\(answer.body)") }
    }
    #expect(socket.get("/readyz")?.body == "not ready: starting\n")
  }

  @Test func `a HEAD is answered like a GET, without the body`() throws {
    let scene = try Scene()
    let socket = try scene.connect()
    socket.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    let answer = try #require(socket.answer(hasBody: false))
    #expect(answer.status == 200 && (Int(answer.fields["content-length"] ?? "") ?? 0) > 1000)
    #expect(socket.get("/livez")?.body == "ok\n")
  }

  /// The request, and the status with which it is refused.
  @Test(arguments: [
    ("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 405),
    ("POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 405),
    ("DELETE /clients HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 413),
    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    ("GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /livez HTTP/1.1\r\n\r\n", 400), ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421), ("GET /livez HTTP/1.1\r\nHost:\r\n\r\n", 421),
    ("GET /livez HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421),
    ("GET /livez HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n\r\n", 421),
    ("GET /livez HTTP/1.1\r\nHost: 10.0.0.0/8\r\n\r\n", 421), ("GET /livez HTTP/1.1\r\nHost: [evil]:80\r\n\r\n", 421),
    ("GET /livez HTTP/1.1\r\nHost: localhost:80x\r\n\r\n", 421),
    ("GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    ("GET /li vez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400), ("nonsense\r\n\r\n", 400),
    ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
  ])
  func `other requests are refused, and their connections closed`(request: String, status: Int) throws {
    let scene = try Scene()
    let socket = try scene.connect()
    socket.send(request)
    #expect(socket.answer()?.status == status)
    #expect(socket.isClosed())
    #expect(try scene.serves())
  }

  @Test(arguments: [
    "localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:42080", "[::1]:42080", "192.0.2.7", "[2001:db8::1]",
  ])
  func `hosts that no stranger's page can have are known`(host: String) throws {
    let scene = try Scene()
    let socket = try scene.connect()
    socket.send("GET /livez HTTP/1.1\r\nHost: \(host)\r\n\r\n")
    #expect(socket.answer()?.status == 200)
  }

  @Test func `the name of the endpoint is known, and no other`() {
    #expect(AdminRequest.isKnown("relay.example:42080", ownName: "Relay.Example"))
    #expect(!AdminRequest.isKnown("other.example:42080", ownName: "relay.example"))
    #expect(!AdminRequest.isKnown("relay.example", ownName: nil))
  }

  // MARK: Connections

  @Test func `pipelined requests are answered in order, one at a time`() throws {
    let scene = try Scene()
    let socket = try scene.connect()
    let paths = (0..<200).map { ["/livez", "/readyz", "/nothing"][$0 % 3] }
    socket.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined())
    for path in paths {
      let status = ["/livez": 200, "/readyz": 503, "/nothing": 404][path]
      #expect(socket.answer()?.status == status)
    }
    #expect(try scene.serves())
  }

  /// Whoever asks and does not read is answered once; what it holds is bounded, and it is closed in the end.
  @Test func `a client that does not read does not pile up answers`() throws {
    let scene = try Scene()
    let socket = try scene.connect()
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    let before = SocketMemory.resident
    var sent = 0
    var limit = timeval(tv_sec: 0, tv_usec: 200_000)
    setsockopt(socket.descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    while sent < 20_000, socket.send(request) { sent += 1 }
    #expect(try scene.serves())
    // 20,000 pages would be 1.4 GB.
    #expect(SocketMemory.resident - before < 200 << 20)
  }

  @Test func `huge headers are refused`() throws {
    let scene = try Scene()
    for text in [
      "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + String(repeating: "x", count: 100_000),
      "GET /livez HTTP/1.1\r\nHost: localhost\r\n" + String(repeating: "X: y\r\n", count: 5000),
      "GET /" + String(repeating: "x", count: 200_000),
      String(repeating: "x", count: 200_000),
    ] {
      let socket = try scene.connect()
      socket.send(text)
      // With a word about it, or without.
      _ = socket.answer()
      #expect(socket.isClosed())
    }
    #expect(try scene.serves())
  }

  @Test func `slow requests hold up nobody, and end`() throws {
    let scene = try Scene()
    let slow = try (0..<20).map { _ in try scene.connect() }
    for socket in slow { socket.send("GET /livez HTT") }
    #expect(try scene.serves())
    // A byte now and then is no excuse.
    for socket in slow { socket.send("P") }
    for socket in slow { #expect(socket.isClosed()) }
    #expect(scene.server.desk.requests(.late) >= 20)
    #expect(try scene.serves())
  }

  /// There is a limit to connections, and idle ones cannot keep others out.
  @Test func `a thousand connections leave room for one more`() throws {
    let scene = try Scene()
    var sockets: [HTTPSocket] = []
    for number in 0..<1000 {
      let socket = try scene.connect()
      if number % 2 == 0 { socket.send("GET /livez HTTP/1.1\r\n") }
      sockets.append(socket)
    }
    #expect(try scene.serves())
    #expect(scene.server.desk.requests(.crowded) >= 1000 - UInt64(AdminLimits.connections))
    // Those that were used longest ago are gone, and only they.
    #expect(sockets.first?.isClosed() == true)
    let last = try #require(sockets.last)
    #expect(last.get("/livez")?.status == 200)
  }

  @Test func `an address that is not allowed is closed without a word`() throws {
    let scene = try Scene(allowed: ["192.0.2.0/24"])
    let socket = try scene.connect()
    socket.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(socket.answer() == nil)
    #expect(scene.server.desk.requests(.forbidden) == 1)
    #expect(try Scene(allowed: ["192.0.2.0/24", "127.0.0.0/8"]).serves())
  }

  // MARK: Listening

  @Test func `a unix socket is its owner's, replaces a file that was left over, and leaves none`() throws {
    let path = "/tmp/voltlane-admin-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    for _ in 0..<2 {
      let server = try AdminServer(AdminConfiguration(), at: .unix(path: path))
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
      let socket = try HTTPSocket(to: path)
      socket.send("GET /livez HTTP/1.1\r\nHost: whatever\r\n\r\n")
      #expect(socket.answer()?.status == 200)
      // One that is in use stays.
      let other = try AdminServer(AdminConfiguration(), at: .unix(path: path))
      other.stop()
      #expect(try HTTPSocket(to: path).get("/livez")?.status == 200)
      server.stop()
      #expect(stat(path, &status) != 0)
    }
    // As a relay leaves it that was killed.
    let left = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(left, $0, size) }
    }
    #expect(result == 0)
    close(left)
    let server = try AdminServer(AdminConfiguration(), at: .unix(path: path))
    #expect(try HTTPSocket(to: path).get("/livez")?.status == 200)
    server.stop()
  }

  /// What an endpoint says of itself.
  private final class Told: Sendable {
    private let all = Mutex<[String]>([])
    var list: [String] { all.withLock(\.self) }

    func take(_ progress: PatientListener.Progress) {
      all.withLock { all in
        switch progress {
        case .listens(let endpoint): all.append("listens on \(endpoint)")
        case .waits(let reason): all.append("waits: \(reason)")
        }
      }
    }
  }

  /// A successor runs without its endpoint until the earlier relay has ended.
  @Test func `an endpoint that is taken is taken over`() throws {
    var earlier: Scene? = try Scene()
    let port = try #require(earlier?.port)
    let told = Told()
    let server = try AdminServer(AdminConfiguration(), at: .tcp(host: "127.0.0.1", port: port)) { told.take($0) }
    defer { server.stop() }
    #expect(told.list == ["waits: the address is in use"])
    #expect(try earlier?.serves() == true)
    earlier = nil
    while told.list.count < 2 { usleep(10_000) }
    #expect(told.list.last == "listens on 127.0.0.1:\(port)")
    #expect(try HTTPSocket(to: port).get("/livez")?.status == 200)
  }

  @Test func `a unix socket that is taken is taken over, with its mode`() throws {
    let path = "/tmp/voltlane-admin-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    let earlier = try AdminServer(AdminConfiguration(), at: .unix(path: path))
    let told = Told()
    let server = try AdminServer(AdminConfiguration(), at: .unix(path: path)) { told.take($0) }
    defer { server.stop() }
    earlier.stop()
    while told.list.count < 2 { usleep(10_000) }
    #expect(told.list == ["waits: the address is in use", "listens on unix:\(path)"])
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    #expect(try HTTPSocket(to: path).get("/livez")?.status == 200)
  }

  @Test func `a file that is no socket is left alone`() throws {
    let path = "/tmp/voltlane-admin-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).txt"
    let file = open(path, O_CREAT | O_WRONLY, 0o600)
    try #require(file >= 0)
    close(file)
    defer { unlink(path) }
    let error = #expect(throws: AdminFailure.self) {
      try AdminServer(AdminConfiguration(), at: .unix(path: path))
    }
    #expect(error?.description.contains("the file that is there is not a socket") == true)
    var status = stat()
    #expect(stat(path, &status) == 0)
  }

  /// Whoever's address cannot be told is not let in, nor is a stranger where nobody was named.
  @Test func `visitors are let in only where that is certain`() throws {
    let desk = AdminDesk()
    let far = try SocketAddress(ipAddress: "192.0.2.1", port: 1)
    let near = try SocketAddress(ipAddress: "::1", port: 1)
    let path = try SocketAddress(unixDomainSocketPath: "/tmp/x")
    let named = AdminVisitors(allowed: [try Network("192.0.2.0/24")], isLocalSocket: false, desk: desk)
    let unnamed = AdminVisitors(allowed: [], isLocalSocket: false, desk: desk)
    let local = AdminVisitors(allowed: [], isLocalSocket: true, desk: desk)
    #expect(named.isAllowed(far) && !named.isAllowed(near) && !named.isAllowed(nil) && !named.isAllowed(path))
    #expect(unnamed.isAllowed(near) && !unnamed.isAllowed(far) && !unnamed.isAllowed(nil))
    #expect(try unnamed.isAllowed(SocketAddress(ipAddress: "127.0.0.9", port: 1)))
    #expect(local.isAllowed(path) && local.isAllowed(nil))
  }

  // MARK: The page

  @Test func `the page's policy lets its own script and style run, and nothing else`() throws {
    let scene = try Scene()
    let answer = try #require(try scene.connect().get("/"))
    #expect(answer.fields["content-type"] == "text/html; charset=utf-8")
    #expect(answer.body.hasPrefix("<!doctype html>"))
    let policy = try #require(answer.fields["content-security-policy"])
    #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("*"))
    #expect(policy.matches(of: /(script|style)-src 'sha256-[A-Za-z0-9+\/]{43}='/).count == 2)
    #expect(answer.body.matches(of: /<script/).count == 1 && answer.body.matches(of: /<style/).count == 1)
  }

  @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
  func `base64 is that of RFC 4648`(text: String, base64: String) {
    #expect(StatusPage.base64(Array(text.utf8)) == base64)
  }
}

/// What this process holds.
private enum SocketMemory {
  static var resident: Int {
    guard let text = System.contents(of: "/proc/self/statm") else { return 0 }
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
  }
}
