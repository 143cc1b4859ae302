import Foundation

/// The worked bytes of the protocol: what vectors.json has, by section and name. They are embedded in the code, so that
/// a test finds them from any directory.
public struct Vectors: Sendable {
  private let sections: [String: [String: [UInt8]]]

  /// The shortest form of each value.
  public let varints: [(value: UInt64, bytes: [UInt8])]

  public static let shared = Vectors(Data(PackageResources.vectors_json))

  private init(_ json: Data) {
    do {
      let file = try JSONDecoder().decode(File.self, from: json)
      sections = [
        "keys": file.keys, "ecdh": file.ecdh, "challenge": file.challenge,
        "packets": file.packets, "framed": file.framed, "tagged": file.tagged,
        "extensions": file.extensions,
      ].mapValues { $0.mapValues(bytes(hex:)) }
      varints = file.varint.map { (UInt64($0.value)!, bytes(hex: $0.hex)) }
    } catch {
      preconditionFailure("vectors.json does not have the expected shape: \(error)")
    }
  }

  /// The bytes called `name` in `section`.
  public subscript(section: String, name: String) -> [UInt8] {
    guard let bytes = sections[section]?[name] else { preconditionFailure("no vector \(section).\(name)") }
    return bytes
  }

  /// All of a section.
  public subscript(section: String) -> [String: [UInt8]] {
    guard let vectors = sections[section] else { preconditionFailure("no section \(section)") }
    return vectors
  }
}

private struct File: Decodable {
  var keys, ecdh, challenge, packets, framed, tagged, extensions: [String: String]
  var varint: [Varint]

  enum CodingKeys: String, CodingKey {
    case keys, ecdh, challenge, packets, framed, tagged, varint
    case extensions = "firehose_extensions_framed"
  }

  struct Varint: Decodable {
    var value: String
    var hex: String

    init(from decoder: any Decoder) throws {
      var pair = try decoder.unkeyedContainer()
      value = String(try pair.decode(UInt64.self))
      hex = try pair.decode(String.self)
    }
  }
}

/// The bytes that a hexadecimal text spells.
public func bytes(hex: String) -> [UInt8] {
  let digits = hex.map { $0.hexDigitValue! }
  precondition(digits.count % 2 == 0, "half a byte in \(hex)")
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
