/// A key with its value, as given in a TOML file.
struct TOMLEntry: Equatable, Sendable {
  /// The tables that contain it, then its own name.
  var key: [String]
  var value: TOMLValue
  /// Where the key begins, and where the value does.
  var keyPosition: TextPosition
  var valuePosition: TextPosition
}

/// The types that a setting may have. TOML's other types, times and fractions, are not used by any setting.
enum TOMLValue: Equatable, Sendable {
  case string(String)
  case integer(Int)
  case boolean(Bool)
  case list([Item])

  struct Item: Equatable, Sendable {
    var value: TOMLValue
    var position: TextPosition
  }
}

/// A place in a text, counted from 1.
struct TextPosition: Equatable, Sendable {
  var line: Int
  /// In characters, as editors count them.
  var column: Int
}

/// Why settings cannot be read from a text.
struct TOMLError: Error, Equatable {
  var position: TextPosition
  var reason: String
}
