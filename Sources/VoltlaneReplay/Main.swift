import Relay

/// Moves packets through the relay's data plane without sockets, so that its instructions can be counted; for
/// tools/check-instructions.
@main
struct VoltlaneReplay {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    let numbers = arguments.dropFirst().compactMap { Int($0) }
    guard let direction = arguments.first.flatMap(Replay.Direction.init), arguments.count == 5, numbers.count == 4,
      numbers.allSatisfy({ $0 > 0 })
    else {
      print("usage: VoltlaneReplay up|down CLIENTS SIZE PACKETS-PER-RECEIVE PACKETS")
      return
    }
    let replay = Replay(
      direction, clients: numbers[0], size: numbers[1], packetsPerReceive: numbers[2], packets: numbers[3])
    print("\(replay.packets) packets \(direction), \(replay.run()) bytes out")
  }
}
