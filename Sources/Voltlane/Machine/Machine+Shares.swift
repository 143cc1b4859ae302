import Relay
import VoltlaneSettings

/// What the relay takes of a machine, where that is left to it.
extension Machine {
  /// A small machine gets by with less for everybody, but one packet of legal size must fit.
  func anEighth(butAtLeast least: Int) -> ByteSize {
    ByteSize(bytes: max(Self.wholeMebibytes(memory / 8), least).clamped(to: RelayConfiguration.budgetRange))
  }

  var automaticMemoryBudget: ByteSize {
    ByteSize(bytes: Self.wholeMebibytes(memory / 2).clamped(to: ProtectionConfiguration.memoryBudgetRange))
  }

  /// Descriptors that the relay needs beside one for each client.
  static let ownDescriptors = 128

  /// As many as there are descriptors for, less those that the relay needs for itself; and as many as the memory budget
  /// holds with some packets of each.
  func automaticMaxClients(memoryBudget: Int) -> Int {
    let bytesPerClient = 32 << 10
    let count = min(descriptors - Self.ownDescriptors, memoryBudget / bytesPerClient)
    return count.clamped(to: ProtectionConfiguration.countRange)
  }

  /// A share of memory, rounded down where that leaves something: nobody reads 2012345KiB.
  static func wholeMebibytes(_ bytes: Int) -> Int { bytes < 1 << 20 ? bytes : (bytes >> 20) << 20 }
}

extension Int {
  func clamped(to range: ClosedRange<Int>) -> Int { Swift.min(Swift.max(self, range.lowerBound), range.upperBound) }
}
