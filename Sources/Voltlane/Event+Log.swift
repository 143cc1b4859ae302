import Glibc
import Logging
import Relay
import VoltlaneText
import VoltlaneWire

/// How the relay's events read in the log.
extension Event {
  var logged: (message: Logger.Message, metadata: Logger.Metadata?) {
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
      ("the backend takes little or nothing of what is queued for it", ["oldest": "\(seconds(age))"])
    case .backendCaughtUp(let age):
      ("the backend takes data again", ["oldest": "\(seconds(age))"])
    case .backendOversized(let size, let maximum):
      (
        """
        the backend sent a packet larger than --max-packet-size and its tag of \(Wire.tag) bytes: closing its \
        connection
        """, ["size": "\(size)", "maximum": "\(maximum)"]
      )
    case .backendMalformed(let what, let count):
      ("skipped packets from the backend: \(what.logged)", ["count": "\(count)"])
    case .sessionStarted(let id): ("session started", ["id": "\(String(clientID: id))"])
    case .sessionEnded(let id, let reason): ("session ended: \(reason.text)", ["id": "\(String(clientID: id))"])
    case .sessionStale(let id): ("session stale: its client's connection ended", ["id": "\(String(clientID: id))"])
    case .sessionReturned(let id): ("session attached again: its client came back", ["id": "\(String(clientID: id))"])
    case .reconnectionRefused(let id):
      ("reconnection refused: the response to the challenge was wrong", ["id": "\(String(clientID: id))"])
    case .handshakesRefused(let count, let most):
      ("handshakes refused: they broke the protocol", counted(count, most))
    case .clientsRefused(let reason, let count, let most):
      ("clients refused: \(reason.text)", counted(count, most))
    case .addressesBanned(let address, let count):
      (
        "addresses banned: they broke the protocol more often than --ban-after allows",
        ["address": "\(address)", "count": "\(count)"]
      )
    case .addressesShunned(let address, let count):
      (
        "addresses ignored for a while: they kept connecting while they were refused",
        ["address": "\(address)", "count": "\(count)"]
      )
    case .clientsUncounted(let count):
      ("clients admitted without limits by address: the table of addresses is full", ["count": "\(count)"])
    case .sessionsEnded(let reason, let count): ("sessions ended: \(reason.text)", ["count": "\(count)"])
    case .clientsSlowed(let rate, let count):
      ("clients throttled: they exceed \(rate.logged)", ["count": "\(count)"])
    case .budgetExceeded(let budget, let count): ("sessions ended: \(budget.logged)", ["count": "\(count)"])
    case .acceptPaused(let errno, let count):
      ("accepting paused: \(systemMessage(errno))", ["count": "\(count)"])
    case .ringRefused(let errno, let count):
      ("io_uring accepts no requests at the moment: \(systemMessage(errno)); trying again", ["count": "\(count)"])
    case .sessionsDropped: ("ending every session because the backend is lost", nil)
    case .packetRefused(let id):
      (
        "gave up a packet: two connections to the backend died within it; ending its client",
        ["id": "\(String(clientID: id))"]
      )
    case .eventsDropped(let count): ("events came faster than they were logged", ["dropped": "\(count)"])
    }
  }
}

/// How often it happened since it was last logged, if more than once.
private func repeats(_ count: UInt64?) -> Logger.Metadata? {
  guard let count, count > 1 else { return nil }
  return ["count": "\(count)"]
}

private func seconds(_ nanoseconds: UInt64) -> String { "\(nanoseconds / 1_000_000_000)s" }

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
private func counted(_ count: UInt64, _ most: Event.Most?) -> Logger.Metadata {
  guard let most else { return ["count": "\(count)"] }
  return ["count": "\(count)", "address": "\(most.address)", "of-address": "\(most.count)"]
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
