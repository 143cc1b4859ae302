import Logging
import Relay
import VoltlaneSettings
import VoltlaneText
import VoltlaneWire

/// Every setting of the program. A new one is a definition here, its place among `entries`, a line in Flags.swift and
/// one in ProgramConfiguration.swift; names in environment and file, help, table and errors follow. Tests ask for what
/// is missing.
enum Settings: SettingDefinitions {
  static let listen = Setting(
    name: "listen", placeholder: "ADDRESS", standard: "127.0.0.1:42000", allowed: Endpoint.forms,
    summary: """
      Where clients connect; [::] takes IPv6 only, so give 0.0.0.0 for IPv4 as well. A name is listened on at each of \
      its addresses. May be given several times.
      """,
    isRepeatable: true,
    read: endpoint)

  static let unixSocketMode = Setting(
    name: "unix-socket-mode", placeholder: "MODE|umask", standard: "umask",
    allowed: "umask, or three octal digits such as 660, with a 0 before them or not",
    summary: """
      Who may connect to a unix socket of --listen: the permissions of its file, where write permission is what lets a \
      process connect. \
      'umask': what the process's umask leaves.
      """,
    read: automatic(oneOf(permissions), word: "umask"))

  static let unixSocketGroup = Setting(
    name: "unix-socket-group", placeholder: "GROUP|none", standard: "none",
    allowed: "none, or the name or the number of a group",
    summary: "The group of the file of a unix socket of --listen. 'none': the process's own.",
    read: automatic({ text throws(Refusal) in try group(text) }, word: "none"))

  static let backend = Setting(
    name: "backend", alias: "master", placeholder: "ADDRESS", standard: "127.0.0.1:42001",
    allowed: "\(Endpoint.forms), or echo",
    summary: "The backend that is dialled. 'echo' embeds one that sends every packet back.",
    read: { text throws(Refusal) in try BackendChoice(text) })

  static let config = Setting(
    name: "config", placeholder: "FILE|none", standard: "none", allowed: "none, or a TOML file",
    summary: """
      The file with settings that neither flags nor the environment give: keys are named as the flags are. SIGHUP \
      reads it anew.
      """,
    read: automatic(file, word: "none"))

  static let shards = Setting(
    name: "shards", placeholder: "N|auto", standard: "auto",
    allowed: "auto or \(numbers(RelayConfiguration.shardRange))",
    summary: "Threads that serve clients. 'auto': the CPUs allowed, less one where the firehose has its own.",
    read: automatic(number(in: RelayConfiguration.shardRange)))

  static let firehoseCore = Setting(
    name: "firehose-core", placeholder: "auto|own|shared", standard: "auto", allowed: "auto, own or shared",
    summary: """
      Whether the connection to the backend has a thread of its own or shares the first shard's. 'auto': shared with \
      one or two CPUs, own from three.
      """,
    read: automatic(oneOf { FirehoseCore(rawValue: $0) }))

  static let cpus = Setting(
    name: "cpus", placeholder: "LIST|auto", standard: "auto",
    allowed: "auto, or numbers and ranges such as 0,2-5 of CPUs on which this process may run",
    summary: """
      CPUs that the relay runs on. With one for each shard and the firehose, each is pinned to its own, in this order. \
      'auto': all that are allowed, and nothing is pinned.
      """,
    read: automatic { text throws(Refusal) in try CPUList(text) })

  static let handshakeWorkers = Setting(
    name: "handshake-workers", placeholder: "N|auto", standard: "auto",
    allowed: "auto or \(numbers(RelayConfiguration.handshakeWorkerRange))",
    summary: "Threads that do the cryptography of handshakes. 'auto': one for every four CPUs allowed.",
    read: automatic(number(in: RelayConfiguration.handshakeWorkerRange)))

  static let maxPacketSize = Setting(
    name: "max-packet-size", placeholder: "SIZE", standard: "\(Wire.defaultMaxPacketSize)",
    allowed: sizes(RelayConfiguration.maxPacketSizeRange),
    summary: """
      The largest packet of a client, without the 9 bytes that the firehose adds. The default is exactly 8MiB with them.
      """,
    read: size(in: RelayConfiguration.maxPacketSizeRange))

  static let clientSendBuffer = Setting(
    name: "client-send-buffer", placeholder: "SIZE", standard: "8MiB",
    allowed: sizes(RelayConfiguration.budgetRange),
    summary: """
      What may wait for a client that reads too slowly; over it, that client ends. One packet always fits. While more \
      than half of it waits, the client itself is not read.
      """,
    isReloadable: true,
    read: size(in: RelayConfiguration.budgetRange))

  static let clientReceiveBuffer = Setting(
    name: "client-receive-buffer", placeholder: "SIZE", standard: "128KiB",
    allowed: sizes(RelayConfiguration.clientReceiveBufferRange),
    summary: """
      What the kernel may receive of a client ahead of the relay, which can take twice that of its memory. It gives no \
      more than net.core.rmem_max.
      """,
    read: size(in: RelayConfiguration.clientReceiveBufferRange))

  static let packetTimeout = Setting(
    name: "packet-timeout", placeholder: "TIME", standard: "30s",
    allowed: "0 or \(durations(RelayConfiguration.packetTimeoutRange))",
    summary: "How long a client may take from the first byte of a packet to its last. 0: for ever.",
    isReloadable: true,
    read: orNone(duration(in: RelayConfiguration.packetTimeoutRange)))

  static let assemblyBudget = Setting(
    name: "assembly-budget", placeholder: "SIZE|auto", standard: "auto",
    allowed: "auto, or \(sizes(RelayConfiguration.budgetRange)), and at least --max-packet-size",
    summary: """
      What unfinished packets of all clients may hold together; over it, the client with the largest ends. 'auto': an \
      eighth of memory or of the cgroup's limit.
      """,
    isReloadable: true,
    read: automatic(size(in: RelayConfiguration.budgetRange)))

  static let staleTimeout = Setting(
    name: "stale-timeout", placeholder: "TIME", standard: "5m",
    allowed: durations(RelayConfiguration.staleTimeoutRange),
    summary: "How long a session that has lost its socket waits for its client to come back. 0: it ends at once.",
    isReloadable: true,
    read: duration(in: RelayConfiguration.staleTimeoutRange))

  static let maxStaleClients = Setting(
    name: "max-stale-clients", placeholder: "N", standard: "65535",
    allowed: numbers(RelayConfiguration.maxStaleClientsRange),
    summary: "Sessions of the relay that may be without a socket. At the limit another of them ends first.",
    isReloadable: true,
    read: number(in: RelayConfiguration.maxStaleClientsRange))

  static let missedPacketsBuffer = Setting(
    name: "missed-packets-buffer", placeholder: "SIZE", standard: "64KiB",
    allowed: sizes(RelayConfiguration.missedPacketsBufferRange),
    summary: """
      What is kept for a client while it has no socket; over it, its session ends. One packet always fits. 0: the \
      first packet ends the session.
      """,
    isReloadable: true,
    read: size(in: RelayConfiguration.missedPacketsBufferRange))

  static let missedPacketsTotal = Setting(
    name: "missed-packets-total", placeholder: "SIZE|auto", standard: "auto",
    allowed: "auto, or \(sizes(RelayConfiguration.budgetRange)), and at least --max-packet-size and 4",
    summary: """
      What is kept for all clients without a socket together; over it, the one that holds most ends. 'auto': an eighth \
      of memory or of the cgroup's limit.
      """,
    isReloadable: true,
    read: automatic(size(in: RelayConfiguration.budgetRange)))

  static let halfCloseTimeout = Setting(
    name: "half-close-timeout", placeholder: "TIME", standard: "5s",
    allowed: durations(RelayConfiguration.halfCloseTimeoutRange),
    summary: "How long a client that shut its sending side is still sent what comes for it.",
    isReloadable: true,
    read: duration(in: RelayConfiguration.halfCloseTimeoutRange))

  static let keepalive = Setting(
    name: "keepalive", placeholder: "TIME", standard: "30s",
    allowed: "\(durations(RelayConfiguration.keepaliveRange)), in whole seconds",
    summary: """
      How long a TCP connection, a client's or the backend's, may be silent before it is probed for life. 0: it never \
      is.
      """,
    read: wholeSeconds(duration(in: RelayConfiguration.keepaliveRange)))

  static let tcpUserTimeout = Setting(
    name: "tcp-user-timeout", placeholder: "TIME", standard: "60s",
    allowed: durations(RelayConfiguration.tcpUserTimeoutRange),
    summary: """
      How long a client may leave data unacknowledged, or its receive window closed, before its connection is given \
      up. 0: the system's limit.
      """,
    read: duration(in: RelayConfiguration.tcpUserTimeoutRange))

  static let backendTimeout = Setting(
    name: "backend-timeout", placeholder: "TIME", standard: "30s",
    allowed: durations(RelayConfiguration.backendTimeoutRange),
    summary: "How long the backend may leave data unacknowledged before it counts as lost.",
    isReloadable: true,
    read: duration(in: RelayConfiguration.backendTimeoutRange))

  static let announce = Setting(
    name: "announce", placeholder: "on|off", standard: "on", allowed: "on or off",
    summary: "Whether the backend is told on every connection but the first which sessions are alive, by a 0x03 each.",
    isReloadable: true,
    read: oneOf { ["on": true, "off": false][$0] })

  static let backendLoss = Setting(
    name: "backend-loss", placeholder: "hold|drop|exit", standard: "hold", allowed: "hold, drop or exit",
    summary: """
      When the backend is lost: 'hold' keeps the clients; 'drop' ends their sessions and refuses newcomers until it is \
      back; 'exit' ends the sessions and then the relay, with exit code 75.
      """,
    isReloadable: true,
    read: oneOf { BackendLoss(rawValue: $0) })

  static let backendLossTimeout = Setting(
    name: "backend-loss-timeout", placeholder: "TIME|off", standard: "off",
    allowed: "off, or \(durations(RelayConfiguration.backendLossTimeoutRange)), and with --backend-loss hold only",
    summary: """
      How long clients are held without a backend, from the start or its loss on, before their sessions end and \
      newcomers are refused. 'off': for as long as it takes.
      """,
    isReloadable: true,
    read: automatic(duration(in: RelayConfiguration.backendLossTimeoutRange), word: "off"))

  static let identity = Setting(
    name: "identity", placeholder: "FILE|none", standard: "none",
    allowed: "none, or a file that only its owner can read, or root and a group of the relay's",
    summary: """
      The file of the relay's secret key, made where it is missing, so that clients recognise the relay after a \
      restart. 'none': a fresh key each start.
      """,
    read: automatic(fileOfKey, word: "none"))

  static let coalesceTime = Setting(
    name: "coalesce-time", placeholder: "TIME", standard: "100us",
    allowed: fineDurations(RelayConfiguration.coalesceTimeRange),
    summary: """
      How long a thread that would sleep waits for more packets before it takes those that came: fewer wake-ups, so \
      less CPU, for up to this much delay each way. Only where a thread gets a packet in at least half of such times, \
      not where clients send fewer for it; a lone client is never held up. From Linux 6.10 on. 0: it never waits.
      """,
    read: fineDuration(in: RelayConfiguration.coalesceTimeRange))

  static let congestionControl = Setting(
    name: "congestion-control", placeholder: "NAME|system", standard: "system",
    allowed: "system, or a name in \(Machine.congestionControlFile)",
    summary: "The congestion control of every TCP connection. 'system': the machine's.",
    read: automatic(oneOf { $0.isEmpty ? nil : $0 }, word: "system"))

  static let logLevel = Setting(
    name: "log-level", placeholder: "LEVEL", standard: "info",
    allowed: Logger.Level.allCases.map(\.rawValue).joined(separator: ", "),
    summary: "The least important messages that are logged, to standard error.",
    isReloadable: true,
    read: oneOf { Logger.Level(rawValue: $0) })

  static let shutdownTimeout = Setting(
    name: "shutdown-timeout", placeholder: "TIME", standard: "5s",
    allowed: durations(RelayConfiguration.shutdownTimeoutRange),
    summary: "How long a shutdown may take to hand over what is queued.",
    isReloadable: true,
    read: duration(in: RelayConfiguration.shutdownTimeoutRange))

  static let entries: [SettingEntry] = otherEntries + protectionEntries

  private static let otherEntries: [SettingEntry] = [
    config.entry, listen.entry, unixSocketMode.entry, unixSocketGroup.entry, backend.entry, shards.entry,
    firehoseCore.entry, cpus.entry, handshakeWorkers.entry,
    maxPacketSize.entry, clientSendBuffer.entry, clientReceiveBuffer.entry, packetTimeout.entry, assemblyBudget.entry,
    staleTimeout.entry, maxStaleClients.entry, missedPacketsBuffer.entry, missedPacketsTotal.entry,
    halfCloseTimeout.entry, keepalive.entry, tcpUserTimeout.entry, backendTimeout.entry, announce.entry,
    backendLoss.entry, backendLossTimeout.entry,
    identity.entry, coalesceTime.entry, congestionControl.entry, shutdownTimeout.entry, logLevel.entry,
  ]
}

extension Settings {
  private static let file: Reader<String> = oneOf { $0.isEmpty || $0.utf8.contains(0) ? nil : $0 }

  /// Permissions in octal digits, as chmod takes them.
  private static func permissions(_ text: String) -> UInt16? {
    let digits = text.count == 4 && text.hasPrefix("0") ? text.dropFirst() : text[...]
    guard digits.count == 3, digits.utf8.allSatisfy({ (0x30...0x37).contains($0) }) else { return nil }
    return UInt16(digits, radix: 8)
  }

  /// The number of a group.
  private static func group(_ text: String) throws(Refusal) -> UInt32 {
    // The largest number means none.
    if let number = UInt32(exactly: wholeNumber(text) ?? -1), number < .max { return number }
    guard let number = System.group(text) else { throw .because("there is no such group") }
    return number
  }

  /// The name of a file with a key, and not the key.
  private static let fileOfKey: Reader<String> = { text throws(Refusal) in
    guard !isSecret(text) else { throw .because("it is to be the name of a file that has it") }
    return try file(text)
  }
}
