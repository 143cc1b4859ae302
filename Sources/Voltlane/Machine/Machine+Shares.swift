import Relay
import VoltlaneSettings

/// How much of a machine the relay uses, if that is left to it.
extension Machine {
  /// A small machine has less for everybody, but one packet of legal size must fit.
  func anEighth(butAtLeast least: Int) -> ByteSize {
    ByteSize(bytes: max(Self.wholeMebibytes(memory / 8), least).clamped(to: RelayConfiguration.budgetRange))
  }

  var automaticMemoryBudget: ByteSize {
    ByteSize(bytes: Self.wholeMebibytes(memory / 2).clamped(to: ProtectionConfiguration.memoryBudgetRange))
  }

  /// Descriptors that the relay needs besides one for each client, and those of `otherDescriptors`.
  static let ownDescriptors = 128

  /// As many as there are descriptors for, minus those that the relay needs for itself, but no more than the memory
  /// budget has room for with some packets each.
  func automaticMaxClients(memoryBudget: Int, otherDescriptors: Int = 0) -> Int {
    let bytesPerClient = 32 << 10
    let count = min(descriptors - Self.ownDescriptors - otherDescriptors, memoryBudget / bytesPerClient)
    return count.clamped(to: ProtectionConfiguration.countRange)
  }

  /// A share of memory, rounded down to whole MiB if that leaves anything: nobody wants to read 2012345KiB.
  static func wholeMebibytes(_ bytes: Int) -> Int { bytes < 1 << 20 ? bytes : (bytes >> 20) << 20 }
}

extension Int {
  func clamped(to range: ClosedRange<Int>) -> Int { Swift.min(Swift.max(self, range.lowerBound), range.upperBound) }
}
