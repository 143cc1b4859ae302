import Glibc
import Logging
import Relay
import VoltlaneText
import VoltlaneWire

/// How the relay's events read in the log.
extension Event {
  /// With what is only for machines: which event it is, and the reason, each by one word of a fixed list.
  var logged: (message: Logger.Message, metadata: Logger.Metadata) {
    let (message, fields) = words
    var metadata = fields ?? [:]
    metadata["event"] = "\(name)"
    if let reason { metadata["reason"] = "\(snakeCase("\(reason)"))" }
    return (message, metadata)
  }

  private var words: (message: Logger.Message, metadata: Logger.Metadata?) {
    switch self {
    case .backendConnected: ("backend connected", nil)
    case .backendLost(let errno, let isDialledAgain, let count):
      (
        """
        backend lost: \(loss(errno))\
        \(isDialledAgain ? "; dialling again" : "")
        """, repeats(count)
      )
    case .backendNotReached(let failure, let count):
      ("backend not reached: \(failure.logged)", repeats(count))
    case .backendBehind(let age):
      ("the backend takes little or nothing of what is queued for it", ["oldest": .seconds(age / 1_000_000_000)])
    case .backendCaughtUp(let age):
      ("the backend takes data again", ["oldest": .seconds(age / 1_000_000_000)])
    case .backendOversized(let size, let maximum):
      (
        """
        the backend sent a packet larger than --max-packet-size and its tag of \(Wire.tag) bytes: closing its \
        connection
        """, ["size": .number(size), "maximum": .number(maximum)]
      )
    case .backendMalformed(let what, let count, let id):
      (
        "skipped packets from the backend: \(what.logged)",
        counted(count).merging(id.map { ["id": "\(String(clientID: $0))"] } ?? [:]) { $1 }
      )
    case .sessionStarted(let id, let address): ("session started", session(id, address))
    case .sessionEnded(let id, let reason, let address): ("session ended: \(reason.text)", session(id, address))
    case .sessionStale(let id, let address): ("session stale: its client's connection ended", session(id, address))
    case .sessionReturned(let id, let address):
      ("session attached again: its client came back", session(id, address))
    case .reconnectionRefused(let id, let address):
      ("reconnection refused: the response to the challenge was wrong", session(id, address))
    case .roleMoved(let shard, let thread):
      ("\(shard.map { "shard \($0)" } ?? "the firehose") goes on at thread \(thread)", nil)
    case .idlenessUnknown:
      ("/proc/stat does not say whether CPUs are idle: a thread that is full gets help by way of trial", nil)
    case .handshakesRefused(let count, let most):
      ("handshakes refused: they broke the protocol", counted(count, most))
    case .clientsRefused(let reason, let count, let most):
      ("clients refused: \(reason.text)", counted(count, most))
    case .addressesBanned(let address, let count):
      (
        "addresses banned: they broke the protocol more often than --ban-after allows",
        ["address": "\(address)", "count": .number(count)]
      )
    case .addressesShunned(let address, let count):
      (
        "addresses ignored for a while: they kept connecting while they were refused",
        ["address": "\(address)", "count": .number(count)]
      )
    case .clientsUncounted(let count):
      ("clients admitted without limits by address: the table of addresses is full", ["count": .number(count)])
    case .sessionsEnded(let reason, let count, let first):
      ("sessions ended: \(reason.text)", counted(count, first))
    case .clientsSlowed(let rate, let count, let first):
      ("clients throttled: they exceed \(rate.logged)", counted(count, first))
    case .budgetExceeded(let budget, let count, let first):
      ("sessions ended: \(budget.logged)", counted(count, first))
    case .acceptPaused(let errno, let count):
      ("accepting paused: \(systemMessage(errno))", ["count": .number(count)])
    case .ringRefused(let errno, let count):
      ("the kernel accepts no requests at the moment: \(systemMessage(errno)); trying again", ["count": .number(count)])
    case .sessionsDropped: ("ending every session because the backend is lost", nil)
    case .packetRefused(let id):
      (
        "gave up a packet: two connections to the backend died within it; ending its client",
        ["id": "\(String(clientID: id))"]
      )
    case .eventsDropped(let count): ("events came faster than they were logged", ["dropped": .number(count)])
    }
  }
}

extension Event {
  /// For machines. It stays as it is, whatever becomes of the message.
  var name: StaticString {
    switch self {
    case .backendConnected: "backend_connected"
    case .backendLost: "backend_lost"
    case .backendNotReached: "backend_not_reached"
    case .backendBehind: "backend_behind"
    case .backendCaughtUp: "backend_caught_up"
    case .backendOversized: "backend_oversized"
    case .backendMalformed: "backend_malformed"
    case .sessionStarted: "session_started"
    case .sessionEnded: "session_ended"
    case .sessionStale: "session_stale"
    case .sessionReturned: "session_returned"
    case .reconnectionRefused: "reconnection_refused"
    case .handshakesRefused: "handshakes_refused"
    case .clientsRefused: "clients_refused"
    case .addressesBanned: "addresses_banned"
    case .addressesShunned: "addresses_shunned"
    case .clientsUncounted: "clients_uncounted"
    case .sessionsEnded: "sessions_ended"
    case .clientsSlowed: "clients_throttled"
    case .budgetExceeded: "budget_exceeded"
    case .acceptPaused: "accept_paused"
    case .ringRefused: "ring_refused"
    case .sessionsDropped: "sessions_dropped"
    case .packetRefused: "packet_refused"
    case .roleMoved: "role_moved"
    case .idlenessUnknown: "idleness_unknown"
    case .eventsDropped: "events_dropped"
    }
  }

  /// The case of one of the lists of reasons.
  private var reason: Any? {
    switch self {
    case .sessionEnded(_, let reason, _), .sessionsEnded(let reason, _, _): reason
    case .clientsRefused(let reason, _, _): reason
    case .clientsSlowed(let rate, _, _): rate
    case .budgetExceeded(let budget, _, _): budget
    case .backendMalformed(let what, _, _): what
    case .backendConnected, .backendLost, .backendNotReached, .backendBehind, .backendCaughtUp, .backendOversized,
      .sessionStarted, .sessionStale, .sessionReturned, .reconnectionRefused, .handshakesRefused, .addressesBanned,
      .addressesShunned, .clientsUncounted, .acceptPaused, .ringRefused, .sessionsDropped, .packetRefused,
      .roleMoved, .idlenessUnknown, .eventsDropped:
      nil
    }
  }
}

/// `addressAcceptRate` as `address_accept_rate`.
private func snakeCase(_ name: String) -> String {
  name.map { $0.isUppercase ? "_\($0.lowercased())" : "\($0)" }.joined()
}

private func session(_ id: UInt64, _ address: AddressKey) -> Logger.Metadata {
  ["id": "\(String(clientID: id))", "address": "\(address)"]
}

/// How often it happened since it was last logged, if more than once.
private func repeats(_ count: UInt64?) -> Logger.Metadata? {
  guard let count, count > 1 else { return nil }
  return ["count": .number(count)]
}

extension BackendFailure {
  fileprivate var logged: String {
    switch self {
    case .unresolved: "its name has no address; looking it up again"
    case .lookUp(let code, let errno): "its name cannot be looked up: \(lookUpFailure(code, errno)); trying again"
    case .lookUpOfOld(let code, let errno):
      "its name cannot be looked up: \(lookUpFailure(code, errno)); dialling the address that it had before"
    case .lookUpHangs: "looking up its name takes long; asking again"
    case .dial(let errno): "\(systemMessage(errno)); dialling again"
    case .itself:
      """
      nobody listens there, and the kernel gave the relay that very port to dial from \
      (net.ipv4.ip_local_port_range); dialling again
      """
    case .listener: "its address is one of the relay's own, a --listen; retrying"
    case .closedEarly(let errno):
      """
      something answers there but ends the connection before it has proved to be a backend \
      (\(loss(errno))); dialling again
      """
    case .noBackend: "what answers there does not speak the protocol of a backend; dialling again"
    // Logged as a loss.
    case .shortLived(let errno): loss(errno)
    }
  }
}

/// How many there were, and which address had most of them: at least `of-address`.
private func counted(_ count: UInt64, _ most: Event.Most? = nil) -> Logger.Metadata {
  guard let most else { return ["count": .number(count)] }
  return ["count": .number(count), "address": "\(most.address)", "of-address": .number(most.count)]
}

/// How many there were, and the first of them.
private func counted(_ count: UInt64, _ first: Event.Session?) -> Logger.Metadata {
  guard let first else { return ["count": .number(count)] }
  return session(first.id, first.address).merging(["count": .number(count)]) { $1 }
}

/// Why a connection to the backend ended.
private func loss(_ errno: Int32) -> String {
  switch errno {
  case 0: "it closed the connection"
  // Logged beside it.
  case EPROTO: "its stream of packets is out of step"
  default: systemMessage(errno)
  }
}

/// Why a name could not be looked up.
private func lookUpFailure(_ code: Int32, _ errno: Int32) -> String {
  code == EAI_SYSTEM ? systemMessage(errno) : lookUpMessage(code)
}

extension ClientRate {
  fileprivate var logged: String {
    switch self {
    case .packets: "--client-packet-rate"
    case .bytes: "--client-byte-rate"
    }
  }
}

extension Event.Budget {
  fileprivate var logged: String {
    switch self {
    case .unfinishedPackets: "unfinished packets exceed --assembly-budget"
    case .missedPackets: "missed packets exceed --missed-packets-total"
    case .memory: "the memory budget is nearly used up"
    case .systemMemory: "the system has no more memory for the relay"
    }
  }
}

extension Event.MalformedPacket {
  fileprivate var logged: String {
    switch self {
    case .tooShort: "shorter than a tag"
    case .unknownFlag: "unknown flag"
    case .wrongDirection: "a flag for the other direction"
    case .multicast: "a multicast of neither kind, or with a list or a packet that is too long"
    }
  }
}

extension Event.Level {
  var logged: Logger.Level {
    switch self {
    case .debug: .debug
    case .info: .info
    case .warning: .warning
    case .error: .error
    }
  }

  /// The least important events that a log of `level` has.
  init(_ level: Logger.Level) {
    switch level {
    case .trace, .debug: self = .debug
    case .info, .notice: self = .info
    case .warning: self = .warning
    case .error, .critical: self = .error
    }
  }
}
