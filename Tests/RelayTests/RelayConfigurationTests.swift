import Relay
import Testing
import VoltlaneWire

@Suite struct RelayConfigurationTests {
  @Test func defaultsAreAllowed() {
    let defaults = RelayConfiguration(listeners: [], backend: .unix(path: "/x"))
    #expect(defaults.maxPacketSize == Wire.defaultMaxPacketSize)
    #expect(RelayConfiguration.maxPacketSizeRange.contains(defaults.maxPacketSize))
    #expect(RelayConfiguration.shardRange.contains(defaults.shards))
    #expect(RelayConfiguration.handshakeWorkerRange.contains(defaults.handshakeWorkers))
    #expect(RelayConfiguration.budgetRange.contains(defaults.clientSendBuffer))
    #expect(RelayConfiguration.budgetRange.contains(defaults.assemblyBudget))
    #expect(defaults.assemblyBudget >= defaults.maxPacketSize)
    #expect(RelayConfiguration.packetTimeoutRange.contains(defaults.packetTimeout!))
    #expect(RelayConfiguration.staleTimeoutRange.contains(defaults.staleTimeout))
    #expect(RelayConfiguration.maxStaleClientsRange.contains(defaults.maxStaleClients))
    #expect(RelayConfiguration.missedPacketsBufferRange.contains(defaults.missedPacketsBuffer))
    #expect(RelayConfiguration.budgetRange.contains(defaults.missedPacketsTotal))
    #expect(defaults.missedPacketsTotal >= Wire.sizePrefix + defaults.maxPacketSize)
    #expect(RelayConfiguration.halfCloseTimeoutRange.contains(defaults.halfCloseTimeout))
    #expect(RelayConfiguration.keepaliveRange.contains(defaults.keepalive))
    #expect(RelayConfiguration.tcpUserTimeoutRange.contains(defaults.tcpUserTimeout))
    #expect(RelayConfiguration.backendTimeoutRange.contains(defaults.backendTimeout))
    #expect(RelayConfiguration.shutdownTimeoutRange.contains(defaults.shutdownTimeout))
  }

  @Test func largestTaggedPacketHasASizeOf32Bits() {
    #expect(UInt32(exactly: RelayConfiguration.maxPacketSizeRange.upperBound + Wire.tag) != nil)
    #expect(RelayConfiguration.budgetRange.contains(RelayConfiguration.maxPacketSizeRange.upperBound))
  }
}
