import Relay
import VoltlaneSettings

extension ProgramConfiguration {
  /// What protects the relay and its clients from one another.
  mutating func setProtection(
    _ given: GivenSettings, on machine: Machine, _ files: SettingsFiles
  ) throws(SettingError) {
    var protection = ProtectionConfiguration()
    protection.memoryBudget = try value(
      of: Settings.memoryBudget, given, orDecide: Self.automaticMemoryBudget(on: machine)
    ).bytes
    protection.maxClients = try value(
      of: Settings.maxClients, given,
      orDecide: Limit(Self.automaticMaxClients(memoryBudget: protection.memoryBudget, on: machine))
    ).count
    protection.maxClientsPerAddress = try given.value(of: Settings.maxClientsPerIP)
    protection.maxClientsPerPrefix = try given.value(of: Settings.maxClientsPerPrefix)
    protection.acceptRate = try given.value(of: Settings.acceptRate)
    protection.acceptRatePerAddress = try given.value(of: Settings.acceptRatePerIP)
    protection.handshakeTimeout = try given.value(of: Settings.handshakeTimeout)
    protection.maxPendingHandshakes = try given.value(of: Settings.maxPendingHandshakes)
    protection.maxPendingHandshakesPerAddress =
      try given.value(of: Settings.maxPendingHandshakesPerIP)
    protection.banAfter = try given.value(of: Settings.banAfter)
    protection.banTime = try given.value(of: Settings.banFor)
    protection.reconnectFailures = try given.value(of: Settings.reconnectFailures)
    protection.reconnectFailuresPerAddress =
      try given.value(of: Settings.reconnectFailuresPerIP)
    protection.clientPacketRate = try given.value(of: Settings.clientPacketRate)
    protection.clientByteRate = try given.value(of: Settings.clientByteRate)
    protection.ratePolicy = try given.value(of: Settings.ratePolicy)
    protection.idleTimeout = try given.value(of: Settings.idleTimeout)
    protection.slowClientTimeout = try given.value(of: Settings.slowClientTimeout)
    protection.allowed = try networks(Settings.allow, given, files)
    protection.denied = try networks(Settings.deny, given, files)
    protection.limitsLoopback = try given.value(of: Settings.limitLoopback)
    protection.rejection = try given.value(of: Settings.reject)
    protection.deferAccept = try given.value(of: Settings.tcpDeferAccept)
    protection.backlog = try given.value(of: Settings.backlog)
    protection.proxies = try networks(Settings.proxyProtocol, given, files)
    protection.trustsUnixProxies = try given.values(of: Settings.proxyProtocol).contains(where: \.hasUnix)
    relay.protection = protection
  }

  /// What a list has, with what stands in its files.
  private mutating func networks(
    _ setting: Setting<NetworkEntry>, _ given: GivenSettings, _ files: SettingsFiles
  ) throws(SettingError) -> [Network] {
    var networks: [Network] = []
    for (index, entry) in try given.values(of: setting).enumerated() {
      networks += [entry.network].compactMap { $0 }
      guard let file = entry.file else { continue }
      listFiles.append(file)
      do throws(FileError) {
        networks += try files.networks(file)
      } catch {
        throw setting.error(given[setting][index], .because(error.description))
      }
    }
    return networks
  }

  private static func automaticMemoryBudget(on machine: Machine) -> ByteSize {
    let range = ProtectionConfiguration.memoryBudgetRange
    return ByteSize(bytes: min(max(wholeMebibytes(machine.memory / 2), range.lowerBound), range.upperBound))
  }

  /// Descriptors that the relay needs beside one for each client.
  static let ownDescriptors = 128

  /// As many as there are descriptors for, less those that the relay needs for itself; and as many as the memory budget
  /// holds with some packets of each.
  private static func automaticMaxClients(memoryBudget: Int, on machine: Machine) -> Int {
    let bytesPerClient = 32 << 10
    let count = min(machine.descriptors - ownDescriptors, memoryBudget / bytesPerClient)
    let range = ProtectionConfiguration.countRange
    return min(max(count, range.lowerBound), range.upperBound)
  }
}
