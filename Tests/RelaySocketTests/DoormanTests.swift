import Glibc
import Relay
import Testing
import VoltlaneWire

/// A connection is not a backend: something in front of it accepts for a backend that is not there.
@Suite struct DoormanTests {
  private static func relay(
    _ layout: Layout, _ endpoint: Endpoint, configure: (inout RelayConfiguration) -> Void = { _ in }
  ) throws -> TestRelay {
    try TestRelay(layout, backend: endpoint) {
      $0.longestDialDelay = .milliseconds(50)
      configure(&$0)
    }
  }

  @Test(arguments: Layout.allCases, Doorman.Manner.allCases)
  func `nothing is lost with connections that end at once`(_ layout: Layout, _ manner: Doorman.Manner) throws {
    let doorman = try Doorman(manner)
    let test = try Self.relay(layout, doorman.endpoint)
    let client = try test.client()
    var sent = 0
    // Packets come at every moment of the connections' short lives.
    while doorman.accepted < 20 {
      try client.send(pattern(100, sent))
      sent += 1
      usleep(5000)
    }
    let backend = try doorman.makeWay()
    let firehose = try backend.accept()
    for number in 0..<sent { try #require(try firehose.receive() == .data(client.id, pattern(100, number))) }
    #expect(doorman.taken == 0)
    let rig = Rig(backend: backend, test: test, firehose: firehose)
    #expect(try rig.roundTrip(client))
    #expect(test.relay[.backendConnections] == 1)
    #expect(test.relay[.backendDialsFailed] >= 20 && test.relay[.backendsClosedEarly] > 0)
  }

  /// The same after a backend that was there.
  @Test(arguments: Layout.allCases)
  func `nothing is lost while a backend behind it is away`(_ layout: Layout) throws {
    let doorman = try Doorman(.fin)
    let first = try doorman.makeWay()
    let test = try Self.relay(layout, doorman.endpoint)
    let rig = Rig(backend: first, test: test, firehose: try first.accept())
    let client = try test.client()
    #expect(try rig.roundTrip(client))
    rig.firehose.socket.reset()
    var closed = 0
    var sent = 0
    while closed < 20 {
      try client.send(pattern(100, sent))
      sent += 1
      guard first.isDialled(within: 10) else { continue }
      try first.accept().socket.close()
      closed += 1
    }
    let next = Rig(rig, firehose: try first.accept())
    for number in 0..<sent { try #require(try next.firehose.receive() == .data(client.id, pattern(100, number))) }
    #expect(try next.roundTrip(client))
  }

  /// It is in no packet's way, and no packet is at fault: its client stays.
  @Test(arguments: Layout.allCases, [0, 400] as [UInt32])
  func `a client with a large packet is not ended for it`(_ layout: Layout, _ milliseconds: UInt32) throws {
    let doorman = try Doorman(.reset, after: milliseconds)
    let test = try Self.relay(layout, doorman.endpoint)
    let client = try test.client()
    let packet = pattern(8_388_599)
    let sender = Background { try client.send(packet) }
    #expect(test.eventually { doorman.accepted >= 8 })
    let firehose = try doorman.makeWay().accept()
    #expect(try firehose.receive() == .data(client.id, packet))
    try sender.join()
    #expect(test.relay[.packetsRefused] == 0 && test.relay[.sessionsEnded] == 0)
  }

  /// The same line again and again hides what else there is to know.
  @Test(arguments: Doorman.Manner.allCases)
  func `it is told of once, and the backend when it comes`(_ manner: Doorman.Manner) throws {
    let doorman = try Doorman(manner)
    let test = try Self.relay(.own, doorman.endpoint)
    #expect(test.eventually { doorman.accepted > 20 })
    let firehose = try doorman.makeWay().accept()
    #expect(test.eventually(.backendConnections, is: 1))
    var told: [Event] = []
    test.relay.takeEvents { told.append($0) }
    let failures = told.filter { if case .backendNotReached = $0 { true } else { false } }
    let others = told.filter { if case .backendNotReached = $0 { false } else { true } }
    // A close can be met as a FIN and as a reset.
    #expect((1...2).contains(failures.count), "\(told)")
    guard others.count == 1, case .backendConnected(isRepeated: false) = others[0] else {
      Issue.record("\(others)")
      return
    }
    withExtendedLifetime(firehose) {}
  }

  @Test(arguments: Layout.allCases, [true, false])
  func `held clients are dropped after their time all the same`(_ layout: Layout, _ wasThere: Bool) throws {
    let doorman = try Doorman(.fin)
    var firehose: Firehose?
    var backend: RawBackend?
    if wasThere { backend = try doorman.makeWay() }
    let test = try Self.relay(layout, doorman.endpoint) {
      $0.backendLossTimeout = .milliseconds(1500)
      $0.staleTimeout = .seconds(60)
    }
    if let backend { firehose = try backend.accept() }
    if wasThere { #expect(test.eventually(.backendConnections, is: 1)) }
    let client = try test.client()
    firehose?.socket.reset()
    let background = Background {
      while test.relay[.endedBackendLost] == 0 {
        if let backend, backend.isDialled(within: 20) { try backend.accept().socket.close() }
        usleep(1000)
      }
    }
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    try background.join()
    // And newcomers are refused, until there is a backend.
    #expect(test.eventually { (try? test.client()) == nil })
    let came = try (backend ?? doorman.makeWay()).accept()
    let again = try test.eventuallyClient { try test.client() }
    #expect(try Rig(backend: RawBackend(), test: test, firehose: came).roundTripAfterEnds(again))
  }

  /// It was not there at any time: nobody waits for it longer than they were told to.
  @Test(arguments: Layout.allCases)
  func `held clients are dropped where no backend ever came`(_ layout: Layout) throws {
    let backend = try RawBackend(isListening: false)
    let test = try Self.relay(layout, backend.endpoint) { $0.backendLossTimeout = .milliseconds(1500) }
    let client = try test.client()
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    #expect(test.eventually(.endedBackendLost, is: 1))
    backend.listen()
    _ = try test.eventuallyClient { try test.client() }
  }

  /// A backend that only listens is one.
  @Test(arguments: Layout.allCases)
  func `a backend that never says a word gets everything`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    for number in 0..<200 { try client.send(pattern(500, number)) }
    for number in 0..<200 { #expect(try rig.firehose.receive() == .data(client.id, pattern(500, number))) }
  }

  /// Where it keeps connections for a while it takes what it is handed, at first; then the relay has learnt.
  @Test func `a doorman that thinks first is found out`() throws {
    let doorman = try Doorman(.takes, after: 700)
    let test = try Self.relay(.own, doorman.endpoint)
    let client = try test.client()
    let sender = Background {
      var number = 0
      while doorman.accepted < 12 {
        try client.send(pattern(100, number))
        number += 1
        usleep(20_000)
      }
    }
    #expect(test.eventually { doorman.accepted >= 6 })
    let taken = doorman.taken
    #expect(test.eventually { doorman.accepted >= 10 })
    #expect(doorman.taken == taken)
    try sender.join()
    _ = try doorman.makeWay()
  }
}

extension Rig {
  /// A round trip behind the ends of sessions that were told first.
  fileprivate func roundTripAfterEnds(_ client: RawClient) throws -> Bool {
    try client.send([9])
    while true {
      let packet = try firehose.receive()
      if packet.flag == 1 { continue }
      return packet == .data(client.id, [9])
    }
  }
}
