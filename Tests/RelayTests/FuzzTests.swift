import Foundation
import Testing

/// What fuzzing has found worth keeping, run once more: the inputs in Tests/Corpora, whole and changed a little. (To
/// look for new ones is the work of tools/fuzz, which is guided by what an input reaches.)
@Suite struct FuzzTests {
  private static let corpora = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Corpora")

  private static func inputs(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
    let folder = corpora.appending(path: target.rawValue)
    return try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted().map {
      ($0, Array(try Data(contentsOf: folder.appending(path: $0))))
    }
  }

  @Test(arguments: FuzzTarget.allCases) func `inputs that were kept are survived`(target: FuzzTarget) throws {
    let inputs = try Self.inputs(target)
    #expect(!inputs.isEmpty)
    for input in inputs { target.run(input.bytes) }
  }

  /// A few changes of each kind to each of some inputs, other ones every time; the seed is printed.
  @Test(arguments: FuzzTarget.allCases) func `changed inputs are survived`(target: FuzzTarget) throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("fuzz \(target.rawValue): seed \(seed)")
    var random = SeededRandom(seed: seed)
    let inputs = try Self.inputs(target)
    let isRelay = target == .client || target == .backend
    for _ in 0..<(isRelay ? 20 : 400) {
      var bytes = inputs[random.below(inputs.count)].bytes
      for _ in 0...random.below(4) { Self.change(&bytes, inputs[random.below(inputs.count)].bytes, &random) }
      target.run(bytes)
    }
  }

  private static func change(_ bytes: inout [UInt8], _ other: [UInt8], _ random: inout SeededRandom) {
    guard !bytes.isEmpty else {
      bytes = other
      return
    }
    let place = random.below(bytes.count)
    switch random.below(6) {
    case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
    case 1: bytes[place] ^= 1 << UInt8(random.below(8))
    case 2: bytes.remove(at: place)
    case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
    case 4: bytes = Array(bytes[..<place])
    default: bytes = Array(bytes[..<place] + other.suffix(random.below(other.count + 1)))
    }
  }
}
