import VoltlaneSettings

/// CPU numbers as written in settings: `0,2-5`. Their order is kept.
struct CPUList: Equatable, Sendable {
  var cpus: [Int]

  /// No configuration of Linux has more than this.
  static let largest = 8191

  init(cpus: [Int]) {
    self.cpus = cpus
  }

  /// Reads numbers and ranges, separated by commas. A number that is listed twice is rejected.
  init(_ text: String) throws(Refusal) {
    cpus = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { wholeNumber($0) }
      guard let first = ends[0], let last = ends[ends.count - 1], first <= last else {
        throw .because("'\(part)' is neither a number nor a range")
      }
      guard last <= Self.largest else { throw .because("there is no CPU \(last)") }
      for cpu in first...last {
        guard !cpus.contains(cpu) else { throw .because("CPU \(cpu) is listed twice") }
        cpus.append(cpu)
      }
    }
  }
}

extension CPUList: CustomStringConvertible {
  /// The shortest form: `0,2-5`.
  var description: String {
    var runs: [ClosedRange<Int>] = []
    for cpu in cpus {
      if let run = runs.last, run.upperBound + 1 == cpu {
        runs[runs.count - 1] = run.lowerBound...cpu
      } else {
        runs.append(cpu...cpu)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}
