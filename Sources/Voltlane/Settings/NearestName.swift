/// Finds the name that a misspelt one was most likely meant to be.
enum NearestName {
  /// The name in `names` that is the fewest letters away from `name`; nil if none is near.
  static func of(_ name: String, in names: [String]) -> String? {
    let nearest = names.map { (name: $0, distance: distance(name, $0)) }.min { $0.distance < $1.distance }
    guard let nearest, nearest.distance <= max(2, name.count / 3) else { return nil }
    return nearest.name
  }

  /// How many letters have to be added, removed or replaced.
  static func distance(_ one: String, _ other: String) -> Int {
    let letters = Array(other)
    var row = Array(0...letters.count)
    for (index, letter) in one.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for column in letters.indices {
        let replaced = diagonal + (letters[column] == letter ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
      }
    }
    return row[letters.count]
  }
}
