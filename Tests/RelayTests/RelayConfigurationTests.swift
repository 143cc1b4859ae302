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
    #expect(RelayConfiguration.packetTimeoutRange.contains(defaults.packetTimeout))
    #expect(RelayConfiguration.shutdownTimeoutRange.contains(defaults.shutdownTimeout))
  }

  @Test func largestTaggedPacketHasASizeOf32Bits() {
    #expect(UInt32(exactly: RelayConfiguration.maxPacketSizeRange.upperBound + Wire.tag) != nil)
    #expect(RelayConfiguration.budgetRange.contains(RelayConfiguration.maxPacketSizeRange.upperBound))
  }
}
