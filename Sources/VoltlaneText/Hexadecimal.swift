/// Two lower-case digits a byte.
package func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { hexadecimal($0) }.joined()
}

/// The bytes that `text` gives in hexadecimal, in either case; nil if it is not hexadecimal.
package func bytes(hexadecimal text: some StringProtocol) -> [UInt8]? {
  let digits = text.map { $0.isASCII ? $0.hexDigitValue : nil }
  guard digits.count.isMultiple(of: 2) else { return nil }
  var bytes: [UInt8] = []
  for place in stride(from: 0, to: digits.count, by: 2) {
    guard let high = digits[place], let low = digits[place + 1] else { return nil }
    bytes.append(UInt8(high << 4 | low))
  }
  return bytes
}

/// All digits of `number`, including leading zeros.
func hexadecimal<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> String {
  let digits = String(number, radix: 16)
  return String(repeating: "0", count: Number.bitWidth / 4 - digits.count) + digits
}
