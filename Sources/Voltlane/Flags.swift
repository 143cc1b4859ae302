import ArgumentParser
import VoltlaneSettings

/// The settings as flags. ArgumentParser wants a property for each; all that is to be known of one is in
/// Settings.swift.
struct Flags: ParsableArguments {
  @OptionGroup(title: "Addresses") var addresses: Addresses
  @OptionGroup(title: "Threads") var threads: Threads
  @OptionGroup(title: "Limits") var limits: Limits
  @OptionGroup(title: "Protection") var protection: Protection
  @OptionGroup(title: "Sessions without a socket") var sessions: Sessions
  @OptionGroup(title: "Lost connections") var connections: Connections
  @OptionGroup(title: "Loss of the backend") var backendLoss: BackendLosses
  @OptionGroup(title: "Operation") var operation: Operation

  struct Addresses: ParsableArguments {
    @Option(Settings.listen) var listen: [Given] = []
    @Option(Settings.unixSocketMode) var unixSocketMode: [Given] = []
    @Option(Settings.unixSocketGroup) var unixSocketGroup: [Given] = []
    @Option(Settings.backend) var backend: [Given] = []
  }

  struct Threads: ParsableArguments {
    @Option(Settings.shards) var shards: [Given] = []
    @Option(Settings.firehoseCore) var firehoseCore: [Given] = []
    @Option(Settings.cpus) var cpus: [Given] = []
    @Option(Settings.handshakeWorkers) var handshakeWorkers: [Given] = []
  }

  struct Limits: ParsableArguments {
    @Option(Settings.maxPacketSize) var maxPacketSize: [Given] = []
    @Option(Settings.clientSendBuffer) var clientSendBuffer: [Given] = []
    @Option(Settings.clientReceiveBuffer) var clientReceiveBuffer: [Given] = []
    @Option(Settings.packetTimeout) var packetTimeout: [Given] = []
    @Option(Settings.assemblyBudget) var assemblyBudget: [Given] = []
  }

  struct Protection: ParsableArguments {
    @Option(Settings.maxClients) var maxClients: [Given] = []
    @Option(Settings.maxClientsPerIP) var maxClientsPerIP: [Given] = []
    @Option(Settings.maxClientsPerPrefix) var maxClientsPerPrefix: [Given] = []
    @Option(Settings.acceptRate) var acceptRate: [Given] = []
    @Option(Settings.acceptRatePerIP) var acceptRatePerIP: [Given] = []
    @Option(Settings.handshakeTimeout) var handshakeTimeout: [Given] = []
    @Option(Settings.maxPendingHandshakes) var maxPendingHandshakes: [Given] = []
    @Option(Settings.maxPendingHandshakesPerIP) var maxPendingHandshakesPerIP: [Given] = []
    @Option(Settings.banAfter) var banAfter: [Given] = []
    @Option(Settings.banFor) var banFor: [Given] = []
    @Option(Settings.reconnectFailures) var reconnectFailures: [Given] = []
    @Option(Settings.reconnectFailuresPerIP) var reconnectFailuresPerIP: [Given] = []
    @Option(Settings.clientPacketRate) var clientPacketRate: [Given] = []
    @Option(Settings.clientByteRate) var clientByteRate: [Given] = []
    @Option(Settings.ratePolicy) var ratePolicy: [Given] = []
    @Option(Settings.idleTimeout) var idleTimeout: [Given] = []
    @Option(Settings.slowClientTimeout) var slowClientTimeout: [Given] = []
    @Option(Settings.memoryBudget) var memoryBudget: [Given] = []
    @Option(Settings.allow) var allow: [Given] = []
    @Option(Settings.deny) var deny: [Given] = []
    @Option(Settings.limitLoopback) var limitLoopback: [Given] = []
    @Option(Settings.reject) var reject: [Given] = []
    @Option(Settings.tcpDeferAccept) var tcpDeferAccept: [Given] = []
    @Option(Settings.backlog) var backlog: [Given] = []
    @Option(Settings.proxyProtocol) var proxyProtocol: [Given] = []
  }

  struct Sessions: ParsableArguments {
    @Option(Settings.staleTimeout) var staleTimeout: [Given] = []
    @Option(Settings.maxStaleClients) var maxStaleClients: [Given] = []
    @Option(Settings.missedPacketsBuffer) var missedPacketsBuffer: [Given] = []
    @Option(Settings.missedPacketsTotal) var missedPacketsTotal: [Given] = []
  }

  struct Connections: ParsableArguments {
    @Option(Settings.halfCloseTimeout) var halfCloseTimeout: [Given] = []
    @Option(Settings.keepalive) var keepalive: [Given] = []
    @Option(Settings.coalesceTime) var coalesceTime: [Given] = []
    @Option(Settings.tcpUserTimeout) var tcpUserTimeout: [Given] = []
    @Option(Settings.backendTimeout) var backendTimeout: [Given] = []
  }

  struct BackendLosses: ParsableArguments {
    @Option(Settings.announce) var announce: [Given] = []
    @Option(Settings.backendLoss) var backendLoss: [Given] = []
    @Option(Settings.backendLossTimeout) var backendLossTimeout: [Given] = []
  }

  struct Operation: ParsableArguments {
    @Option(Settings.config) var config: [Given] = []
    @Option(Settings.identity) var identity: [Given] = []
    @Option(Settings.congestionControl) var congestionControl: [Given] = []
    @Option(Settings.shutdownTimeout) var shutdownTimeout: [Given] = []
    @Option(Settings.logLevel) var logLevel: [Given] = []
  }

  /// All that was given. The properties are found by reflection: to list them once more would be one more place to
  /// forget one.
  var given: [Given] {
    let groups: [any ParsableArguments] = [
      addresses, threads, limits, protection, sessions, connections, backendLoss, operation,
    ]
    return groups.flatMap { group in
      Mirror(reflecting: group).children.flatMap { ($0.value as? Option<[Given]>)?.wrappedValue ?? [] }
    }
  }
}
