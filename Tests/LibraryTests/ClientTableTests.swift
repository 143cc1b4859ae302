import NIOCore
import Testing
import VoltlaneBackend
import VoltlaneText

@testable import VoltlaneBackend

@Suite struct ClientTableTests {
  private let begin = ContinuousClock.now
  private let firehose = Firehose(number: 1, remoteAddress: nil)

  @Test func aLife() {
    var table = ClientTable()
    func at(_ seconds: Int) -> ContinuousClock.Instant { begin + .seconds(seconds) }
    #expect(table.take(.connected(firehose), at: at(0)) == [])
    #expect(
      table.take(.address(clientID: 1, .tcp(host: "192.0.2.7", port: 1)), at: at(1))
        == [.joined(1), .moved(1, .tcp(host: "192.0.2.7", port: 1))])
    #expect(table.take(.announced(firehose), at: at(1)) == [])
    #expect(table.take(.data(clientID: 1, ByteBuffer()), at: at(2)) == [])
    #expect(table.take(.away(clientID: 1), at: at(3)) == [.wentAway(1)])
    #expect(table[1]?.presence == .away && table[1]?.since == at(3) && table[1]?.firstHeard == at(1))
    #expect(table.take(.reconnection(clientID: 1), at: at(5)) == [.cameBack(1)])
    #expect(table.take(.address(clientID: 1, .tcp(host: "192.0.2.7", port: 1)), at: at(5)) == [])
    #expect(table.take(.address(clientID: 1, nil), at: at(6)) == [.moved(1, nil)])
    #expect(table[1]?.presence == .connected && table[1]?.since == at(5) && table[1]?.address == nil)
    // Without --away, a return is all that is heard of an absence.
    #expect(table.take(.reconnection(clientID: 1), at: at(7)) == [.cameBack(1)])
    #expect(table.take(.failure(clientID: 1, reason: "kicked"), at: at(8)) == [.left(1, reason: "kicked")])
    #expect(table.take(.failure(clientID: 1, reason: "unknown client"), at: at(9)) == [])
    #expect(table.clients.isEmpty)
  }

  @Test func aLostFirehose() {
    var table = ClientTable()
    for id in UInt64(1)...4 { #expect(table.take(.data(clientID: id, ByteBuffer())) == [.joined(id)]) }
    #expect(table.take(.away(clientID: 2)) == [.wentAway(2)])
    #expect(table.take(.disconnected(firehose, .closed)) == [])
    #expect(table.take(.connected(firehose)) == [])
    #expect(table[1]?.presence == .doubtful)
    #expect(table.take(.reconnection(clientID: 1)) == [])
    #expect(table[1]?.presence == .connected)
    #expect(table.take(.reconnection(clientID: 2)) == [])
    #expect(table.take(.away(clientID: 2)) == [.wentAway(2)])
    #expect(table.take(.reconnection(clientID: 9)) == [.joined(9)])
    #expect(table.take(.announced(firehose)) == [.left(3, reason: nil), .left(4, reason: nil)])
    #expect(Set(table.clients.keys) == [1, 2, 9])
  }

  /// A relay that was restarted announces nobody: its first packet tells.
  @Test func aNewRelay() {
    var table = ClientTable()
    _ = table.take(.data(clientID: 1, ByteBuffer()))
    _ = table.take(.connected(firehose))
    #expect(table.take(.announced(firehose)) == [.left(1, reason: nil)])
    #expect(table.take(.data(clientID: 2, ByteBuffer())) == [.joined(2)])
    #expect(table.take(.warning(.secondRelay(from: nil))) == [])
  }
}
