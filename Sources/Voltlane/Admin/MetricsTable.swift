import Relay

/// The metrics as a table of the documentation: a head and a row for each.
enum MetricsTable {
  static var text: String {
    let rows = MetricFamily.all.map { family in
      "| `\(family.name)` | \(family.kind.rawValue) | \(labels(of: family)) | \(family.help) |"
    }
    return (["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |"] + rows).joined(separator: "\n")
  }

  /// With all values of a label whose values are known.
  private static func labels(of family: MetricFamily) -> String {
    guard case .counted(let series) = family.source, let label = family.labels.first else {
      return family.labels.map { "`\($0)`" }.joined(separator: ", ")
    }
    return "`\(label)`: " + series.map { "`\($0.label)`" }.joined(separator: ", ")
  }
}
