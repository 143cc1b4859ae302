import Logging
import Relay
import Testing

@testable import Voltlane

@Suite struct EventLogTests {
  @Test(
    arguments: [
      (.backendConnected(isRepeated: false), "backend connected", nil),
      (
        .backendLost(errno: 0, isDialledAgain: true, count: 1),
        "backend lost: it closed the connection; dialling again", nil
      ),
      (
        .backendLost(errno: 104, isDialledAgain: true, count: 7),
        "backend lost: Connection reset by peer; dialling again", ["count": "7"]
      ),
      (
        .backendNotReached(.closedEarly(errno: 0), count: 3),
        """
        backend not reached: something answers there but ends the connection before it has proved to be a \
        backend (it closed the connection); dialling again
        """, ["count": "3"]
      ),
      (
        .backendNotReached(.itself, count: 1),
        """
        backend not reached: nobody listens there, and the kernel gave the relay that very port to dial from \
        (net.ipv4.ip_local_port_range); dialling again
        """, nil
      ),
      (
        .backendNotReached(.noBackend, count: 1),
        "backend not reached: what answers there does not speak the protocol of a backend; dialling again", nil
      ),
      (
        .backendBehind(age: 12_900_000_000), "the backend takes little or nothing of what is queued for it",
        ["oldest": "12s"]
      ),
      (.backendCaughtUp(age: 40_000_000_000), "the backend takes data again", ["oldest": "40s"]),
      (.backendLost(errno: 104, isDialledAgain: false, count: 1), "backend lost: Connection reset by peer", nil),
      (
        .backendLost(errno: 71, isDialledAgain: true, count: 1),
        "backend lost: its stream of packets is out of step; dialling again", nil
      ),
      (
        .backendOversized(size: 9, maximum: 8),
        """
        the backend sent a packet larger than --max-packet-size and its tag of 9 bytes: closing its connection
        """, ["size": "9", "maximum": "8"]
      ),
      (
        .backendNotReached(.lookUp(code: -3, errno: 0), count: 1),
        """
        backend not reached: its name cannot be looked up: Temporary failure in name resolution; trying again
        """, nil
      ),
      (
        .backendNotReached(.lookUp(code: -11, errno: 24), count: 1),
        "backend not reached: its name cannot be looked up: Too many open files; trying again", nil
      ),
      (
        .sessionStarted(id: 7, from: .none), "session started",
        ["id": "0000000000000007", "address": "unix"]
      ),
      (
        .sessionEnded(id: .max, .bufferOverflow, from: .none), "session ended: buffer overflow",
        ["id": "ffffffffffffffff", "address": "unix", "reason": "buffer_overflow"]
      ),
      (
        .clientsRefused(.addressClients, count: 4),
        "clients refused: their address has --max-clients-per-ip connections already",
        ["count": "4", "reason": "address_clients"]
      ),
      (.handshakesRefused(count: 4), "handshakes refused: they broke the protocol", ["count": "4"]),
      (
        .acceptPaused(errno: 24, count: 3), "accepting paused: Too many open files", ["count": "3"]
      ),
      (
        .clientsSlowed(.bytes, count: 3), "clients throttled: they exceed --client-byte-rate",
        ["count": "3", "reason": "bytes"]
      ),
      (
        .sessionsEnded(.slowClient, count: 2), "sessions ended: slow client",
        ["count": "2", "reason": "slow_client"]
      ),
      (
        .sessionsEnded(.slowClient, count: 2, first: Event.Session(id: 7, address: .none)),
        "sessions ended: slow client",
        ["count": "2", "reason": "slow_client", "id": "0000000000000007", "address": "unix"]
      ),
      (
        .backendMalformed(.unknownFlag, count: 3, id: 7), "skipped packets from the backend: unknown flag",
        ["count": "3", "reason": "unknown_flag", "id": "0000000000000007"]
      ),
      (
        .budgetExceeded(.unfinishedPackets, count: 1),
        "sessions ended: unfinished packets exceed --assembly-budget",
        ["count": "1", "reason": "unfinished_packets"]
      ),
      (
        .clientsUncounted(count: 5), "clients admitted without limits by address: the table of addresses is full",
        ["count": "5"]
      ),
      (
        .backendMalformed(.unknownFlag, count: 3), "skipped packets from the backend: unknown flag",
        ["count": "3", "reason": "unknown_flag"]
      ),
    ] as [(Event, String, [String: String]?)])
  func text(event: Event, message: String, metadata: [String: String]?) {
    let logged = event.logged
    #expect("\(logged.message)" == message)
    var fields = logged.metadata.mapValues { "\($0)" }
    #expect(fields.removeValue(forKey: "event") == "\(event.name)")
    #expect(fields == metadata ?? [:])
  }
}
