import VoltlaneWire

@testable import Relay

/// What the backend does.
extension FuzzRelay {
  mutating func backendStep(_ script: inout FuzzScript) {
    let step = script.byte()
    switch step % 16 {
    case 0, 1: toRelay(script.piece())
    case 2: toClient(script.byte(), script.piece(), .data)
    case 3: toClient(script.byte(), filler(step, count: 256 * Int(script.byte())), .data)
    case 4: toClient(script.byte(), script.piece(), .kick)
    case 5:
      // Any flag, and an id that is none.
      let id = script.byte()
      toRelay(Wire.sizePrefixBytes(10) + filler(id, count: 8) + [script.byte(), 1])
    case 6: for _ in 0..<script.below(64) { toClient(step, filler(step, count: script.below(8)), .data) }
    case 7: backendSocket.map(simulation.reset)
    case 8: backendSocket.map(simulation.finish)
    case 9: pass(&script)
    case 10: setBackendRoom(&script)
    case 11: simulation.backendListens = script.byte() & 1 == 0
    case 12: toRelay(Wire.sizePrefixBytes(Int(script.byte()) << 20))
    case 13: toMany(&script)
    case 14: toClient(script.byte(), script.piece(), .volatile)
    default: clientStep(&script)
    }
    if step & 128 != 0 { settle() }
  }

  var backendSocket: SimulatedSocket? { simulation.backends.last.flatMap { $0.relayClosed ? nil : $0 } }

  func toRelay(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, let socket = backendSocket, !socket.peerFinished, !socket.peerReset else { return }
    simulation.write(bytes, to: socket)
  }

  mutating func toClient(_ choice: UInt8, _ data: [UInt8], _ flag: SimulatedBackend.Flag) {
    learnIDs()
    guard !ids.isEmpty else { return }
    toRelay(SimulatedBackend.packet(ids[Int(choice) % ids.count], flag, data))
  }

  /// A multicast of either kind to some of the clients and of the ids that nobody has; or one whose kind or list is
  /// odd.
  private mutating func toMany(_ script: inout FuzzScript) {
    learnIDs()
    let choice = script.byte()
    var to: [UInt64] = choice & 1 == 0 ? ids : []
    for _ in 0..<script.below(8) { to.append(ids.isEmpty ? 1 : ids[script.below(ids.count)] ^ UInt64(choice & 2)) }
    var packet = SimulatedBackend.multicast(to, script.piece(), isVolatile: choice & 4 != 0)
    if choice & 0x18 == 0x18 { packet[Wire.taggedHeader + script.below(Multicast.prefix)] = script.byte() }
    toRelay(packet)
  }

  private func setBackendRoom(_ script: inout FuzzScript) {
    guard let socket = backendSocket else { return }
    let room = script.byte()
    if room == 255 { return simulation.allow(.max, socket) }
    socket.room = 0
    simulation.allow(Int(room) * 5, socket)
  }

  func setBackendUnacknowledged(_ script: inout FuzzScript) {
    guard let socket = backendSocket else { return }
    socket.unacknowledged = min(Int(script.byte()) * 16, socket.outgoing.count)
    socket.silence = UInt64(script.byte()) * Limits.second
  }
}
