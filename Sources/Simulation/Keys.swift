#if TESTABLE
import VoltlaneCrypto

/// Keys are costly to make, and it makes no difference which ones they are, so all worlds share them.
enum Keys {
  static let relay = key(0)
  static let people: [SecretKey] = (1...64).map(key)

  private static func key(_ number: Int) -> SecretKey {
    var chance = Chance(UInt64(number), for: 77)
    while true {
      let bytes = (0..<32).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
      if let key = try? SecretKey(bytes: bytes.span.bytes) { return key }
    }
  }
}
#endif
