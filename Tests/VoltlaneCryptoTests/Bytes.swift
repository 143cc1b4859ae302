import VoltlaneCrypto

// The module's functions on arrays: a span cannot pass through the macros of Testing.

extension Array where Element == UInt8 {
  init<let count: Int>(_ bytes: InlineArray<count, UInt8>) {
    self = bytes.indices.map { bytes[$0] }
  }
}

func open(_ box: [UInt8], key: SessionKey) -> [UInt8]? {
  SealedBox.open(box.span.bytes, key: key).map { Array($0) }
}

func nonce(of box: [UInt8]) -> [UInt8]? {
  SealedBox.nonce(of: box.span.bytes).map { Array($0) }
}

func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
  ConstantTime.areEqual(one.span.bytes, other.span.bytes)
}
