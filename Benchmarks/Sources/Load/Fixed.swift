/// `value` with `places` decimal places.
func fixed(_ value: Double, _ places: Int) -> String {
  let scale = (0..<places).reduce(1.0) { scale, _ in scale * 10 }
  let scaled = (value.magnitude * scale).rounded()
  let whole = Int(scaled / scale)
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard places > 0 else { return "\(sign)\(whole)" }
  let fraction = String(Int(scaled - Double(whole) * scale))
  return "\(sign)\(whole).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
}
