import Testing

@testable import Load

struct PacketClockTests {
  private func clock(_ mode: LoadPlan.Mode, _ pace: LoadPlan.Pace, clients: Int, warmup: Double = 0) throws
    -> PacketClock
  {
    var plan = LoadPlan(mode: mode, relay: try Address("127.0.0.1:1"), backend: nil)
    plan.pace = pace
    plan.clients = clients
    plan.warmup = warmup
    var clock = PacketClock(plan)
    clock.begin(1000)
    clock.startTiming()
    return clock
  }

  @Test func `packets at a rate are due evenly, for the clients in turn`() throws {
    var clock = try clock(.echo, .rate(1e6), clients: 2)
    #expect(clock.due(1000) == 1)
    #expect(clock.due(4500) == 4)
    #expect((0..<4).map { _ in clock.release(4500) } == [0, 1, 0, 1])
    #expect(clock.due(4500) == 0)
    #expect(clock.untilNext(4500) == 500)
  }

  @Test func `a packet's time counts from when it was due, not from when it was sent`() throws {
    var clock = try clock(.echo, .rate(1e6), clients: 2)
    var client = LoadClient()
    // Packets 1 and 3 of all, due at 2000 and 4000, come together at 10000, as after a stall.
    clock.arrived(&client, 1, from: 0, to: 2, now: 10_000)
    #expect(clock.latency.total == 2)
    #expect(clock.latency.highest == 8000)
    #expect(clock.latency.percentile(0.5)! >= 6000 && clock.latency.percentile(0.5)! < 6100)
  }

  @Test func `what was due in the measurement is timed whenever it comes, and nothing else is`() throws {
    // Packets 0 to 4 are of the warm-up, 5 to 9 of the measurement.
    var clock = try clock(.echo, .rate(1e6), clients: 1, warmup: 5e-6)
    var client = LoadClient()
    for _ in 0..<10 { _ = clock.release(10_000) }
    clock.arrived(&client, 0, from: 0, to: 6, now: 10_000)
    #expect(clock.latency.total == 1)
    #expect(clock.latency.highest == 4000)
    clock.stopTiming()
    _ = clock.release(11_000)
    clock.arrived(&client, 0, from: 6, to: 11, now: 1_000_000)
    #expect(clock.latency.total == 5)
    #expect(clock.latency.highest == 993_000)
  }

  @Test func `what never comes counts until it is given up`() throws {
    var clock = try clock(.echo, .rate(1e6), clients: 1)
    var client = LoadClient()
    for _ in 0..<3 { _ = clock.release(4000) }
    clock.stopTiming()
    // One more became due after the measurement.
    _ = clock.release(5000)
    client.allowed = 4
    clock.giveUp(client, 0, now: 1_001_000)
    #expect(clock.latency.total == 3)
    #expect(clock.latency.highest == 1_000_000)
  }

  @Test func `clients that stall are not timed at a rate`() throws {
    var clock = try clock(.echo, .rate(1e6), clients: 1)
    var client = LoadClient()
    client.isTimed = false
    _ = clock.release(1000)
    client.allowed = 1
    clock.arrived(&client, 0, from: 0, to: 1, now: 2000)
    clock.giveUp(client, 0, now: 3000)
    #expect(clock.latency.total == 0)
  }

  @Test func `a round to all is over when the last client has it`() throws {
    var clock = try clock(.oneToAll, .window(1), clients: 2)
    var client = LoadClient()
    #expect(clock.due(1000) == 1)
    #expect(clock.release(1000) == nil)
    #expect(clock.due(2000) == 0)
    clock.arrived(&client, 0, from: 0, to: 1, now: 2000)
    #expect(clock.due(2000) == 0)
    clock.arrived(&client, 1, from: 0, to: 1, now: 3000)
    #expect(clock.due(3000) == 1)
    #expect(clock.latency.highest == 2000)
  }

  @Test func `with a window one packet is timed at a time`() throws {
    var clock = try clock(.echo, .window(8), clients: 1)
    var client = LoadClient()
    client.timedAt = 5000
    client.timedSequence = 3
    clock.arrived(&client, 0, from: 0, to: 3, now: 6000)
    #expect(clock.latency.total == 0)
    clock.arrived(&client, 0, from: 3, to: 5, now: 7000)
    #expect(clock.latency.highest == 2000)
    #expect(client.timedAt == 0)
  }
}
