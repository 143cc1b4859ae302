/// Moves packets through the relay's data plane without sockets, or runs a part of the relay by itself, so that
/// instructions can be counted; for tools/check-instructions.
@main
struct VoltlaneReplay {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.count == 2, let part = Part(rawValue: arguments[0]), let count = Int(arguments[1]), count > 0 {
      let clock = ContinuousClock()
      var sum: UInt64 = 0
      let time = clock.measure { sum = part.run(count) }
      print("\(part.rawValue): \(count) in \(time), \(time / count) each; \(sum)")
      return
    }
    let numbers = arguments.dropFirst().prefix(4).compactMap { Int($0) }
    guard let direction = arguments.first.flatMap(Replay.Direction.init), (5...6).contains(arguments.count),
      numbers.count == 4, numbers.allSatisfy({ $0 > 0 }),
      let protection = arguments.count == 5 ? .standard : Replay.Protection(rawValue: arguments[5])
    else {
      print(
        """
        usage: VoltlaneReplay up|down CLIENTS SIZE PACKETS-PER-RECEIVE PACKETS [off|standard|on]
               VoltlaneReplay \(Part.allCases.map(\.rawValue).joined(separator: "|")) COUNT
        """)
      return
    }
    var replay = Replay(
      direction, clients: numbers[0], size: numbers[1], packetsPerReceive: numbers[2], packets: numbers[3])
    replay.protection = protection
    print("\(replay.packets) packets \(direction), \(replay.run()) bytes out")
  }
}
