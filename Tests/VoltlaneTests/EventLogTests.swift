import Logging
import Relay
import Testing

@testable import Voltlane

@Suite struct EventLogTests {
  @Test(
    arguments: [
      (.backendConnected, "backend connected", nil),
      (
        .backendLost(errno: 0, isDialledAgain: true), "backend lost: it closed the connection; dialling again", nil
      ),
      (.backendLost(errno: 104, isDialledAgain: false), "backend lost: Connection reset by peer", nil),
      (
        .backendLost(errno: 71, isDialledAgain: true),
        "backend lost: its packets cannot be told apart any more; dialling again", nil
      ),
      (
        .backendOversized(size: 9, maximum: 8),
        """
        the backend sent a packet above the maximum, which is --max-packet-size and a tag of 9: its connection is \
        given up
        """, ["size": "9", "maximum": "8"]
      ),
      (
        .backendLookUpFailed(code: -3, errno: 0),
        """
        backend not reached: its name cannot be looked up: Temporary failure in name resolution; trying again
        """, nil
      ),
      (
        .backendLookUpFailed(code: -11, errno: 24),
        "backend not reached: its name cannot be looked up: Too many open files; trying again", nil
      ),
      (.sessionStarted(id: 7), "session started", ["id": "0000000000000007"]),
      (.sessionEnded(id: .max, .bufferOverflow), "session ended: buffer overflow", ["id": "ffffffffffffffff"]),
      (
        .clientsRefused(.addressClients, count: 4),
        "clients refused: their address has as many as --max-clients-per-ip", ["count": "4"]
      ),
      (
        .clientsSlowed(.bytes, count: 3), "clients slowed down: they send faster than --client-byte-rate",
        ["count": "3"]
      ),
      (.sessionsEnded(.slowClient, count: 2), "sessions ended: slow client", ["count": "2"]),
      (
        .budgetExceeded(.unfinishedPackets, count: 1),
        "sessions ended: unfinished packets hold more than --assembly-budget", ["count": "1"]
      ),
      (
        .clientsUncounted(count: 5), "clients let in that count for no address: the table of addresses is full",
        ["count": "5"]
      ),
      (
        .backendMalformed(.unknownFlag, count: 3), "packets of the backend skipped: unknown flag", ["count": "3"]
      ),
    ] as [(Event, String, Logger.Metadata?)])
  func text(event: Event, message: String, metadata: Logger.Metadata?) {
    let logged = event.logged
    #expect("\(logged.message)" == message)
    #expect(logged.metadata == metadata)
  }
}
