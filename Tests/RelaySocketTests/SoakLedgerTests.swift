import Testing

/// The ledger of the soak finds what it is there to find: each test is an honest story with one thing wrong.
@Suite struct SoakLedgerTests {
  /// One client, one backend, no relay: the test says what arrives.
  struct Story {
    let ledger = SoakLedger()
    let id: UInt64 = 7
    let other: UInt64 = 8
    var connection: Int
    var socket: UInt32 = 0

    init() {
      connection = ledger.accepted()
      ledger.born(id, client: 0)
      ledger.born(other, client: 1)
    }

    /// Packets that the client sends, not yet arrived.
    func up(_ count: Int) -> [[UInt8]] { (0..<count).map { _ in ledger.up(id, socket: socket, size: 40) } }
    func arrives(_ data: [UInt8], of id: UInt64? = nil) {
      ledger.upArrived(.data(id ?? self.id, data), connection: connection)
    }

    func down(_ count: Int) -> [[UInt8]] {
      (0..<count).map { _ in ledger.down(id, connection: connection, size: 40).bytes }
    }
    func delivers(_ data: [UInt8], to id: UInt64? = nil) { ledger.downArrived(id ?? self.id, data) }

    /// The client comes back, and the backend hears of it.
    mutating func returns() {
      ledger.returned(id)
      socket += 1
      ledger.upArrived(.reconnection(id), connection: connection)
    }

    mutating func backendDies(isLossy: Bool) {
      ledger.dying(connection, isLossy: isLossy)
      ledger.died(connection)
      connection = ledger.accepted()
      for id in [id, other] { ledger.upArrived(.reconnection(id), connection: connection) }
    }

    /// Everybody is kicked, and hears it.
    func ends() {
      for id in [id, other] {
        ledger.kick(id)
        ledger.over(id, wasClosedInOrder: true)
        ledger.upArrived(.failure(id, "kicked"), connection: connection)
      }
      ledger.close()
    }

    func isRefuted(by words: String) -> Bool {
      ledger.violations.count == 1 && ledger.violations[0].contains(words)
    }
  }

  // MARK: What is allowed

  @Test func `a story without a fault`() {
    var story = Story()
    for packet in story.up(3) { story.arrives(packet) }
    for packet in story.down(3) { story.delivers(packet) }
    // Lost with the client's socket, and with the backend's connection.
    _ = story.up(2)
    _ = story.down(2)
    story.returns()
    story.arrives(story.up(1)[0])
    story.delivers(story.down(1)[0])
    _ = story.up(2)
    _ = story.down(2)
    story.backendDies(isLossy: true)
    story.arrives(story.up(1)[0])
    story.delivers(story.down(1)[0])
    // Once more after a FIN.
    story.ledger.finishing(story.id)
    let repeated = story.down(2)
    for packet in repeated { story.delivers(packet) }
    story.returns()
    for packet in repeated { story.delivers(packet) }
    story.ends()
    #expect(story.ledger.violations == [])
    #expect(story.ledger.counts.upLost == 4 && story.ledger.counts.downLost == 4)
    #expect(story.ledger.counts.downRepeated == 2)
  }

  /// What is to be repeated, but does not come before the next FIN, may come after it.
  @Test func `repeated on the next socket but one`() {
    var story = Story()
    story.ledger.finishing(story.id)
    let packets = story.down(2)
    for packet in packets { story.delivers(packet) }
    story.returns()
    story.ledger.finishing(story.id)
    story.returns()
    for packet in packets { story.delivers(packet) }
    #expect(story.ledger.violations == [])
  }

  // MARK: The way up

  @Test func `doubled on the way up`() {
    let story = Story()
    let packets = story.up(2)
    for packet in packets + [packets[1]] { story.arrives(packet) }
    #expect(story.isRefuted(by: "twice, or late"))
  }

  @Test func `reordered on the way up`() {
    var story = Story()
    let packets = story.up(2)
    // On a new socket the gap alone would be allowed.
    story.returns()
    story.arrives(story.up(1)[0])
    for packet in packets { story.arrives(packet) }
    #expect(story.ledger.violations.count == 2)
    #expect(story.ledger.violations.allSatisfy { $0.contains("twice, or late") })
  }

  @Test func `lost on the way up`() {
    var story = Story()
    let packets = story.up(3)
    story.arrives(packets[0])
    // An orderly end of the backend loses nothing.
    story.backendDies(isLossy: false)
    story.arrives(packets[2])
    #expect(story.isRefuted(by: "is lost before"))
  }

  @Test func `another client's on the way up`() {
    let story = Story()
    story.arrives(story.up(1)[0], of: story.other)
    #expect(story.isRefuted(by: "never sent packet"))
  }

  @Test func `mutilated on the way up`() {
    let story = Story()
    story.arrives(story.up(1)[0].dropLast() + [0xee])
    #expect(story.isRefuted(by: "mutilated"))
  }

  @Test func `data before the 0x03 of their connection`() {
    var story = Story()
    story.ledger.returned(story.id)
    story.socket = 1
    story.arrives(story.up(1)[0])
    #expect(story.isRefuted(by: "before its 0x03"))
  }

  @Test func `data of a client that the sweep left out, and that lives`() {
    var story = Story()
    story.ledger.dying(story.connection, isLossy: true)
    story.ledger.died(story.connection)
    story.connection = story.ledger.accepted()
    story.arrives(story.up(1)[0])
    _ = story.ledger.countLive()
    #expect(story.isRefuted(by: "a sweep had left out"))
  }

  // MARK: The way down

  @Test func `doubled on the way down`() {
    let story = Story()
    let packets = story.down(2)
    for packet in packets + [packets[0]] { story.delivers(packet) }
    #expect(story.isRefuted(by: "twice, or late"))
  }

  /// After a FIN packets may come again on the next socket; those before the FIN may not.
  @Test func `doubled beyond the exception`() {
    var story = Story()
    let packets = story.down(2)
    for packet in packets { story.delivers(packet) }
    story.ledger.finishing(story.id)
    story.returns()
    story.delivers(packets[1])
    #expect(story.isRefuted(by: "twice, or late"))
  }

  @Test func `reordered on the way down`() {
    let story = Story()
    let packets = story.down(2)
    for packet in packets.reversed() { story.delivers(packet) }
    #expect(story.ledger.violations.count == 2)
  }

  @Test func `lost on the way down`() {
    let story = Story()
    story.delivers(story.down(2)[1])
    #expect(story.isRefuted(by: "is lost before"))
  }

  @Test func `a missed packet that is lost`() {
    var story = Story()
    story.ledger.take(.sessionStale(id: story.id, from: .none))
    let packets = story.down(2)
    story.returns()
    story.ledger.take(.sessionReturned(id: story.id, from: .none))
    story.delivers(packets[1])
    #expect(story.isRefuted(by: "is lost before"))
  }

  @Test func `another client's on the way down`() {
    let story = Story()
    story.delivers(story.down(1)[0], to: story.other)
    #expect(story.isRefuted(by: "got a packet of"))
  }

  @Test func `a packet that nobody sent`() {
    let story = Story()
    story.delivers(SoakLedger.packet(UInt32(story.connection), 0, story.id, 40))
    #expect(story.isRefuted(by: "nobody sent"))
  }

  @Test func `what was sent before a kick is cut off`() {
    let story = Story()
    _ = story.down(1)
    story.ends()
    #expect(story.isRefuted(by: "cut off"))
  }

  // MARK: The end

  @Test func `two ends`() {
    let story = Story()
    story.ledger.kick(story.id)
    for _ in 0..<2 { story.ledger.upArrived(.failure(story.id, "kicked"), connection: story.connection) }
    #expect(story.isRefuted(by: "two 0x01"))
  }

  @Test func `no end`() {
    let story = Story()
    for id in [story.id, story.other] {
      story.ledger.kick(id)
      story.ledger.over(id, wasClosedInOrder: true)
    }
    story.ledger.upArrived(.failure(story.id, "kicked"), connection: story.connection)
    story.ledger.close()
    #expect(story.isRefuted(by: "no 0x01 of 8"))
  }

  @Test func `data after the end`() {
    let story = Story()
    let packet = story.up(1)[0]
    story.ledger.kick(story.id)
    story.ledger.upArrived(.failure(story.id, "kicked"), connection: story.connection)
    story.arrives(packet)
    #expect(story.isRefuted(by: "after its 0x01"))
  }

  @Test func `a return after the end`() {
    let story = Story()
    story.ledger.kick(story.id)
    story.ledger.upArrived(.failure(story.id, "kicked"), connection: story.connection)
    story.ledger.returned(story.id, afterItsEnd: story.ledger.hasFailed(story.id))
    #expect(story.isRefuted(by: "came back after"))
  }

  @Test func `an end for no reason`() {
    let story = Story()
    story.ledger.upArrived(.failure(story.id, "kicked"), connection: story.connection)
    #expect(story.isRefuted(by: "never kicked"))
  }

  @Test func `an id that is given twice`() {
    let story = Story()
    story.ledger.born(story.id, client: 2)
    #expect(story.isRefuted(by: "given twice"))
  }
}
