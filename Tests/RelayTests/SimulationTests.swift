import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// The whole relay over a scripted kernel: see ``Simulation`` for how it works. A failing seed is in the test's name.
@Suite struct SimulationTests {
  /// Two shards, the firehose and a worker in one thread: clients and backend exchange packets of many sizes, through
  /// partial reads, partial writes, ENOBUFS and resets.
  struct Exchange {
    let simulation: Simulation
    var clients: [SimulatedClient] = []
    var ids: [UInt64] = []
    var backend: SimulatedBackend
    var random: SeededRandom
    var sentUp: [UInt64: [[UInt8]]] = [:]
    var sentDown: [[[UInt8]]] = []

    init(
      seed: UInt64, shards: Int = 2, firehoseCore: FirehoseCore = .own, clients count: Int = 6,
      configure: (inout RelayConfiguration) -> Void = { _ in }
    ) throws {
      simulation = try Simulation(seed: seed, shards: shards, firehoseCore: firehoseCore, configure: configure)
      random = SeededRandom(seed: seed &* 31)
      simulation.pass(2 * Limits.probationFirst)
      let dialled = simulation.backends.last
      backend = SimulatedBackend(try #require(dialled))
      for index in 0..<count {
        let client = SimulatedClient(simulation.connect(shard: index % shards))
        clients.append(client)
        write(SimulatedClient.hello, index)
      }
      simulation.settle()
      for index in clients.indices {
        let read = clients[index].readHandshake()
        let id = try #require(read)
        ids.append(id)
        sentUp[id] = []
        sentDown.append([])
      }
    }

    /// Writes bytes in pieces at random places, the relay running between them.
    mutating func write(_ bytes: [UInt8], _ client: Int) {
      write(bytes, to: clients[client].socket)
    }

    mutating func write(_ bytes: [UInt8], to socket: SimulatedSocket) {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = random.oneIn(2) ? rest.count : 1 + random.below(rest.count)
        simulation.write(Array(rest.prefix(count)), to: socket)
        rest = rest.dropFirst(count)
        for _ in 0..<random.below(4) { simulation.step(until: 0) }
      }
    }

    mutating func data() -> [UInt8] {
      let size =
        switch random.below(8) {
        case 0: 0
        case 1: 1 + random.below(3)
        case 2: 1000 + random.below(5000)
        case 3: 15_000 + random.below(60_000)
        default: random.below(200)
        }
      let start = UInt8(truncatingIfNeeded: random.next())
      return (0..<size).map { start &+ UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    mutating func exchange(rounds: Int) {
      for _ in 0..<rounds {
        let client = random.below(clients.count)
        if random.oneIn(2) {
          var bytes: [UInt8] = []
          for _ in 0...random.below(5) {
            let packet = data()
            sentUp[ids[client]]!.append(packet)
            bytes += SimulatedClient.packet(packet)
          }
          write(bytes, client)
        } else {
          var bytes: [UInt8] = []
          var receiver = client
          for _ in 0...random.below(12) {
            // Often the same one again: small packets for one client go on together.
            if random.oneIn(3) { receiver = random.below(clients.count) }
            let packet = data()
            sentDown[receiver].append(packet)
            bytes += SimulatedBackend.packet(ids[receiver], .data, packet)
          }
          write(bytes, to: backend.socket)
        }
        if random.oneIn(3) { simulation.step() }
      }
      simulation.settle()
    }

    /// Everything that was sent has arrived, in order, at the right place, and nothing else.
    mutating func check() {
      var received: [UInt64: [[UInt8]]] = [:]
      for id in ids { received[id] = [] }
      while let packet = backend.next() {
        #expect(packet.flag == .data)
        received[packet.id, default: []].append(packet.data)
      }
      for id in ids {
        #expect(received[id] == sentUp[id], "client \(id) to the backend")
      }
      for index in clients.indices {
        var packets: [[UInt8]] = []
        while let packet = clients[index].next() { packets.append(packet) }
        #expect(packets == sentDown[index], "the backend to client \(index)")
      }
    }
  }

  @Test(arguments: 1...16 as ClosedRange<UInt64>)
  func everythingArrivesInOrder(seed: UInt64) throws {
    var exchange = try Exchange(seed: seed)
    exchange.exchange(rounds: 150)
    exchange.check()
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func everythingArrivesInOrderOnOneThread(seed: UInt64) throws {
    var exchange = try Exchange(seed: seed, shards: 1, firehoseCore: .shared, clients: 12)
    exchange.exchange(rounds: 150)
    exchange.check()
  }

  @Test(arguments: [3, 7] as [UInt64])
  func theSameSeedGivesTheSameTrace(seed: UInt64) throws {
    func run() throws -> [String] {
      var exchange = try Exchange(seed: seed)
      exchange.exchange(rounds: 60)
      exchange.simulation.reset(exchange.clients[0].socket)
      exchange.simulation.pass(Limits.second)
      return exchange.simulation.trace
    }
    let first = try run()
    let second = try run()
    #expect(first.count > 500)
    #expect(first == second)
  }

  @Test func anotherSeedGivesAnotherTrace() throws {
    var one = try Exchange(seed: 1)
    one.exchange(rounds: 20)
    var other = try Exchange(seed: 2)
    other.exchange(rounds: 20)
    #expect(one.simulation.trace != other.simulation.trace)
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func aResetEndsItsClientAndNobodyElse(seed: UInt64) throws {
    var exchange = try Exchange(seed: seed) { $0.staleTimeout = .zero }
    exchange.exchange(rounds: 20)
    exchange.check()
    let gone = exchange.ids[2]
    exchange.simulation.reset(exchange.clients[2].socket)
    exchange.simulation.settle()
    let packet = exchange.backend.next()
    #expect(packet == .init(id: gone, flag: .failure, data: Array("stale timeout".utf8)))
    #expect(exchange.clients[2].socket.relayClosed)
    // What still comes for it is answered.
    exchange.write(SimulatedBackend.packet(gone, .data, [1]), to: exchange.backend.socket)
    exchange.simulation.settle()
    #expect(exchange.backend.next() == .init(id: gone, flag: .failure, data: Array("unknown client".utf8)))
    #expect(exchange.simulation[.packetsUnknownClient] == 1)
  }
}
