import Glibc

/// A client that sends packets of one size for as long as somebody takes them.
struct Stuffed {
  let client: RawClient
  let size: Int
  /// Packets that were begun; all but the last have left whole.
  private(set) var packets = 0
  /// What is left of the last one.
  private(set) var rest: ArraySlice<UInt8> = []

  init(_ client: RawClient, _ size: Int) {
    self.client = client
    self.size = size
  }

  /// Clients that have sent until neither kernel nor relay took more.
  static func clients(of rig: Rig, count: Int, packet size: Int) throws -> [Stuffed] {
    var stuffed = try (0..<count).map { _ in
      Stuffed(try RawClient(RawSocket(to: rig.test.endpoint, sendBuffer: 32_768)), size)
    }
    try push(&stuffed)
    return stuffed
  }

  /// Sends until nothing is taken for a while.
  static func push(_ stuffed: inout [Stuffed]) throws {
    var idle = 0
    while idle < 30 {
      var taken = 0
      for index in stuffed.indices { taken += try stuffed[index].push() }
      idle = taken == 0 ? idle + 1 : 0
      if taken == 0 { usleep(10_000) }
    }
  }

  private mutating func push() throws -> Int {
    if rest.isEmpty {
      rest = framed(pattern(size, packets))[...]
      packets += 1
    }
    let count = try client.socket.sendSome(rest)
    rest = rest.dropFirst(count)
    return count
  }
}
