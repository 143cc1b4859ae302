/// The protocols between the relay's threads, each with as few threads, places and packets as show all that can
/// happen between them: every ring is passed round at least once, and every side has to wait at least once.
struct LaneModels {
  var orders: MemoryOrders
  /// What is done wrong on purpose.
  var mistake: Mistake?

  enum Mistake: CaseIterable {
    /// The order of steps in the endpoints.
    case showsBeforeWriting, givesBackBeforeReading, showsReferencesLast, looksForReferencesFirst
    /// What is looked at before a sleep.
    case noLookBeforeSleep, looksBeforeAnnouncing, noLookForRoom, looksForRoomBeforeAnnouncing
    case ringsBeforeShowing
    /// A record or a reference is given back before its memory was read.
    case freesBeforeSending
    /// A role that moves.
    case namesTheNewHostTooEarly, saysTooLateThatTheRoleIsHere
  }

  typealias Model = Explorer.Model

  /// Steps of a host that sleeps: it announces that, looks once more, and sleeps. `look` jumps to `turn` where there is
  /// something to do.
  private func sleep(
    _ program: inout ThreadProgram, bell: Int, sleeps: Int, turn: String, _ look: (inout ThreadProgram) -> Void
  ) {
    if mistake == .looksBeforeAnnouncing { look(&program) }
    program.raise(orders.raise, sleeps)
    if mistake != .looksBeforeAnnouncing, mistake != .noLookBeforeSleep { look(&program) }
    program.add(.wait(bell: bell))
    program.jump(turn)
  }

  private func beginTurn(_ program: inout ThreadProgram, sleeps: Int) {
    program.label("turn")
    program.set(orders.relaxedSet, sleeps) { _ in 0 }
  }

  /// Announces that there is no room, and looks once more.
  private func awaitRoom(_ program: inout ThreadProgram, waits: Int, _ look: (inout ThreadProgram) -> Void) {
    if mistake == .looksForRoomBeforeAnnouncing { look(&program) }
    program.raise(orders.raise, waits)
    if mistake != .looksForRoomBeforeAnnouncing, mistake != .noLookForRoom { look(&program) }
  }

  // MARK: A lane of records

  /// A ``RecordLane`` of two places and four records between two hosts, such as the firehose and a shard: the producer
  /// sleeps where it has no room, the consumer where it has nothing.
  func recordLane() -> Model {
    let (head, tail, waits, producerSleeps, consumerSleeps) = (0, 1, 2, 3, 4)
    let (records, capacity): (Int16, Int16) = (4, 2)
    let (producerBell, consumerBell) = (0, 1)

    // 0: tail, 1: headSeen, 2: published.
    var producer = ThreadProgram("producer")
    func hasRoom(_ program: inout ThreadProgram, else label: String) {
      let room = program.newLabel()
      program.jump(room) { $0[0] - $0[1] < capacity }
      program.get(orders.publishedGet, into: 1, head)
      program.label(room)
      program.jump(label) { $0[0] - $0[1] >= capacity }
    }
    beginTurn(&producer, sleeps: producerSleeps)
    producer.label("push")
    producer.jump("publish") { $0[0] == records }
    hasRoom(&producer, else: "publish")
    if mistake != .showsBeforeWriting { producer.add(.write(place: { $0[0] % capacity }, { $0[0] + 1 })) }
    producer.run { $0[0] += 1 }
    producer.jump("push")
    producer.label("publish")
    producer.jump("published") { $0[0] == $0[2] }
    if mistake == .ringsBeforeShowing { producer.wake(orders, bell: consumerBell, sleeps: consumerSleeps) }
    producer.set(orders.publishedSet, tail) { $0[0] }
    if mistake == .showsBeforeWriting {
      producer.label("late")
      producer.add(.write(place: { $0[2] % capacity }, { $0[2] + 1 }))
      producer.run { $0[2] += 1 }
      producer.jump("late") { $0[2] < $0[0] }
    }
    producer.run { $0[2] = $0[0] }
    if mistake != .ringsBeforeShowing { producer.wake(orders, bell: consumerBell, sleeps: consumerSleeps) }
    producer.label("published")
    producer.jump("end") { $0[0] == records }
    sleep(&producer, bell: producerBell, sleeps: producerSleeps, turn: "turn") { program in
      let none = program.newLabel()
      hasRoom(&program, else: none)
      program.jump("turn")
      program.label(none)
      awaitRoom(&program, waits: waits) { program in
        let none = program.newLabel()
        hasRoom(&program, else: none)
        program.jump("turn")
        program.label(none)
      }
    }
    producer.label("end")
    producer.add(.end)

    // 0: head, 1: cursor, 2: tailSeen, 3: the record.
    var consumer = ThreadProgram("consumer")
    func available(_ program: inout ThreadProgram, else label: String) {
      let some = program.newLabel()
      program.jump(some) { $0[1] != $0[2] }
      program.get(orders.publishedGet, into: 2, tail)
      program.label(some)
      program.jump(label) { $0[1] == $0[2] }
    }
    beginTurn(&consumer, sleeps: consumerSleeps)
    consumer.label("take")
    available(&consumer, else: "release")
    if mistake == .givesBackBeforeReading { consumer.set(orders.publishedSet, head) { $0[1] + 1 } }
    consumer.add(.read(into: 3, place: { $0[1] % capacity }))
    consumer.add(.require("the consumer takes records in order") { $0[3] == $0[1] + 1 })
    consumer.run { $0[1] += 1 }
    consumer.jump("take")
    consumer.label("release")
    consumer.jump("released") { $0[0] == $0[1] }
    consumer.run { $0[0] = $0[1] }
    consumer.set(orders.publishedSet, head) { $0[0] }
    consumer.exchange(orders.takeDown, waits, wanted: 1, else: "released")
    consumer.wake(orders, bell: producerBell, sleeps: producerSleeps)
    consumer.label("released")
    consumer.jump("end") { $0[1] == records }
    sleep(&consumer, bell: consumerBell, sleeps: consumerSleeps, turn: "turn") { program in
      let none = program.newLabel()
      available(&program, else: none)
      program.jump("turn")
      program.label(none)
    }
    consumer.label("end")
    consumer.add(.end)
    return Model(words: 5, places: 2, programs: [producer, consumer], bells: 2)
  }

  // MARK: The way up

  /// An ``UplinkLane`` with room for two headers and for one reference at a time: of three packets the second and the
  /// third cross by reference. The firehose frees what it has sent.
  func uplinkLane() -> Model {
    let (head, tail, waits, referenceHead, referenceTail, freed) = (0, 1, 2, 3, 4, 5)
    let (shardSleeps, firehoseSleeps) = (6, 7)
    let (shardBell, firehoseBell) = (0, 1)
    let (packets, capacity): (Int16, Int16) = (3, 2)
    // Places 0 and 1 are the ring of headers, 2 is that of references, 3 and 4 are the buffers.
    let reference: Int16 = 2
    let isReference: ThreadProgram.Condition = { $0[0] > 0 }

    // 0: tail, 1: headSeen, 2: published, 3: references' tail, 4: their headSeen, 5: bytes freed, 6: published ones.
    var shard = ThreadProgram("shard")
    func hasRoom(_ program: inout ThreadProgram, else label: String) {
      let (room, both) = (program.newLabel(), program.newLabel())
      program.jump(room) { $0[0] - $0[1] < capacity }
      program.get(orders.publishedGet, into: 1, head)
      program.label(room)
      program.jump(label) { $0[0] - $0[1] >= capacity }
      program.jump(both) { $0[3] - $0[4] < 1 }
      program.get(orders.publishedGet, into: 4, referenceHead)
      program.label(both)
      program.jump(label) { $0[3] - $0[4] >= 1 }
      program.get(orders.publishedGet, into: 5, freed)
      program.jump(label) { $0[3] - $0[5] >= 1 }
    }
    func show(_ program: inout ThreadProgram, references: Bool) {
      guard references else { return program.set(orders.publishedSet, tail) { $0[0] } }
      let none = program.newLabel()
      program.jump(none) { $0[3] == $0[6] }
      program.set(orders.publishedSet, referenceTail) { $0[3] }
      program.run { $0[6] = $0[3] }
      program.label(none)
    }
    beginTurn(&shard, sleeps: shardSleeps)
    shard.label("append")
    shard.jump("publish") { $0[0] == packets }
    hasRoom(&shard, else: "publish")
    shard.add(.write(place: { $0[0] % capacity }, { $0[0] + 1 }))
    shard.jump("appended") { !isReference($0) }
    shard.add(.write(place: { 2 + $0[0] }, { $0[0] + 1 }))
    shard.add(.write(place: { _ in reference }, { $0[0] + 1 }))
    shard.run { $0[3] += 1 }
    shard.label("appended")
    shard.run { $0[0] += 1 }
    shard.jump("append")
    shard.label("publish")
    shard.jump("published") { $0[0] == $0[2] }
    show(&shard, references: mistake != .showsReferencesLast)
    show(&shard, references: mistake == .showsReferencesLast)
    shard.run { $0[2] = $0[0] }
    shard.wake(orders, bell: firehoseBell, sleeps: firehoseSleeps)
    shard.label("published")
    shard.jump("end") { $0[0] == packets }
    sleep(&shard, bell: shardBell, sleeps: shardSleeps, turn: "turn") { program in
      let none = program.newLabel()
      hasRoom(&program, else: none)
      program.jump("turn")
      program.label(none)
      awaitRoom(&program, waits: waits) { program in
        let none = program.newLabel()
        hasRoom(&program, else: none)
        program.jump("turn")
        program.label(none)
      }
    }
    shard.label("end")
    shard.add(.end)

    // 0: the packet that is gathered, 1: head, 2: tail, 3: references taken, 4: references seen, 5: a value.
    var firehose = ThreadProgram("firehose")
    beginTurn(&firehose, sleeps: firehoseSleeps)
    if mistake == .looksForReferencesFirst { firehose.get(orders.publishedGet, into: 4, referenceTail) }
    firehose.get(orders.publishedGet, into: 2, tail)
    if mistake != .looksForReferencesFirst { firehose.get(orders.publishedGet, into: 4, referenceTail) }
    firehose.run { $0[0] = $0[1] }
    firehose.label("gather")
    firehose.jump("sent") { $0[0] == $0[2] }
    firehose.add(.read(into: 5, place: { $0[0] % capacity }))
    firehose.add(.require("the firehose sends packets in order") { $0[5] == $0[0] + 1 })
    firehose.jump("gathered") { !isReference($0) }
    firehose.add(.require("every header finds its data") { $0[3] < $0[4] })
    firehose.add(.read(into: 5, place: { _ in reference }))
    firehose.add(.require("the data is that packet's") { $0[5] == $0[0] + 1 })
    if mistake == .freesBeforeSending { firehose.add(.write(place: { 2 + $0[0] }, { _ in 0 })) }
    firehose.add(.read(into: 5, place: { 2 + $0[0] }))
    firehose.add(.require("the data is whole") { $0[5] == $0[0] + 1 })
    firehose.run { $0[3] += 1 }
    firehose.set(orders.publishedSet, freed) { $0[3] }
    firehose.add(.write(place: { 2 + $0[0] }, { _ in 0 }))
    firehose.set(orders.publishedSet, referenceHead) { $0[3] }
    firehose.label("gathered")
    firehose.run { $0[0] += 1 }
    firehose.jump("gather")
    firehose.label("sent")
    firehose.jump("released") { $0[1] == $0[0] }
    firehose.run { $0[1] = $0[0] }
    firehose.set(orders.publishedSet, head) { $0[1] }
    firehose.exchange(orders.takeDown, waits, wanted: 1, else: "released")
    firehose.wake(orders, bell: shardBell, sleeps: shardSleeps)
    firehose.label("released")
    firehose.jump("end") { $0[1] == packets }
    sleep(&firehose, bell: firehoseBell, sleeps: firehoseSleeps, turn: "turn") { program in
      program.get(orders.publishedGet, into: 2, tail)
      program.jump("turn") { $0[2] != $0[1] }
    }
    firehose.label("end")
    firehose.add(.end)
    return Model(words: 8, places: 5, programs: [shard, firehose], bells: 2)
  }

  // MARK: A bell

  /// Two hosts have something for a third, which sleeps: one of them rings, and the sleeper finds what both had.
  func bell() -> Model {
    let sleeps = 2
    let callers = [0, 1].map { tail in
      var caller = ThreadProgram("caller \(tail)")
      caller.add(.write(place: { _ in Int16(tail) }, { _ in 1 }))
      caller.set(orders.publishedSet, tail) { _ in 1 }
      caller.wake(orders, bell: 0, sleeps: sleeps)
      caller.add(.end)
      return caller
    }
    var sleeper = ThreadProgram("sleeper")
    func look(_ program: inout ThreadProgram) {
      for tail in [0, 1] {
        let seen = program.newLabel()
        program.jump(seen) { $0[tail] == 1 }
        program.get(orders.publishedGet, into: 3, tail)
        program.jump("found \(tail)") { $0[3] == 1 }
        program.label(seen)
      }
    }
    beginTurn(&sleeper, sleeps: sleeps)
    look(&sleeper)
    sleeper.jump("end") { $0[0] + $0[1] == 2 }
    sleep(&sleeper, bell: 0, sleeps: sleeps, turn: "turn", look)
    for tail in [0, 1] {
      sleeper.label("found \(tail)")
      sleeper.add(.read(into: 3, place: { _ in Int16(tail) }))
      sleeper.run { $0[tail] = 1 }
      sleeper.jump("turn")
    }
    sleeper.label("end")
    sleeper.add(.end)
    return Model(words: 3, places: 2, programs: callers + [sleeper], bells: 1)
  }

  // MARK: Requests

  /// One shard charges a budget twice and asks another each time to look at it (``ShardRequests``): the other's last
  /// look is behind the last charge.
  func requests() -> Model {
    let (charged, asked, sleeps) = (0, 1, 2)
    var asker = ThreadProgram("asker")
    for _ in 0..<2 {
      asker.increase(orders.add, charged, by: 1)
      asker.set(orders.ask, asked) { _ in 1 }
      asker.wake(orders, bell: 0, sleeps: sleeps)
    }
    asker.add(.end)
    var taker = ThreadProgram("taker")
    beginTurn(&taker, sleeps: sleeps)
    taker.exchange(orders.takeRequest, asked, wanted: 1, else: "none")
    taker.get(orders.relaxedGet, into: 0, charged)
    taker.label("none")
    taker.jump("end") { $0[0] == 2 }
    sleep(&taker, bell: 0, sleeps: sleeps, turn: "turn") { program in
      program.get(orders.relaxedGet, into: 1, asked)
      program.jump("turn") { $0[1] == 1 }
    }
    taker.label("end")
    taker.add(.end)
    return Model(words: 3, places: 0, programs: [asker, taker], bells: 1)
  }

  // MARK: A role that moves

  /// A role goes from one host to another (``Host``) while somebody puts two things into a lane for it and wakes it
  /// wherever it is (``RoleBell``): nobody else has the role when the new host takes it, and that host finds both.
  func movingRole() -> Model {
    let (tail, host, place, arrivals, oldSleeps, newSleeps) = (0, 1, 2, 3, 4, 5)
    let (oldBell, newBell) = (0, 1)
    var producer = ThreadProgram("producer")
    for count in 1...2 as ClosedRange<Int16> {
      let (new, rung) = (producer.newLabel(), producer.newLabel())
      producer.set(orders.publishedSet, tail) { _ in count }
      producer.get(orders.findRole, into: 0, place)
      producer.jump(new) { $0[0] == 1 }
      producer.wake(orders, bell: oldBell, sleeps: oldSleeps, isFenced: true)
      producer.jump(rung)
      producer.label(new)
      producer.wake(orders, bell: newBell, sleeps: newSleeps, isFenced: true)
      producer.label(rung)
    }
    producer.add(.end)

    var old = ThreadProgram("old host")
    beginTurn(&old, sleeps: oldSleeps)
    // What the role has.
    if mistake != .namesTheNewHostTooEarly { old.add(.write(place: { _ in 0 }, { _ in 7 })) }
    old.set(orders.publishedSet, host) { _ in 1 }
    old.set(orders.publishedSet, arrivals) { _ in 1 }
    if mistake == .namesTheNewHostTooEarly { old.add(.write(place: { _ in 0 }, { _ in 7 })) }
    old.add(.fence)
    old.wake(orders, bell: newBell, sleeps: newSleeps, isFenced: true)
    old.add(.end)

    // 0: whether the role is here, 1: what was looked at, 2: tail.
    var new = ThreadProgram("new host")
    beginTurn(&new, sleeps: newSleeps)
    new.jump("here") { $0[0] == 1 }
    new.get(orders.relaxedGet, into: 1, arrivals)
    new.jump("here") { $0[1] == 0 }
    new.exchange(orders.takeDown, arrivals, wanted: 1, else: "here")
    new.get(orders.publishedGet, into: 1, host)
    new.jump("here") { $0[1] == 0 }
    new.run { $0[0] = 1 }
    new.add(.read(into: 1, place: { _ in 0 }))
    new.add(.require("the new host finds the role as the old one left it") { $0[1] == 7 })
    if mistake != .saysTooLateThatTheRoleIsHere { new.set(orders.publishedSet, place) { _ in 1 } }
    new.label("here")
    new.jump("rest") { $0[0] == 0 }
    new.get(orders.publishedGet, into: 2, tail)
    new.label("rest")
    new.jump("end") { $0[2] == 2 }
    sleep(&new, bell: newBell, sleeps: newSleeps, turn: "turn") { program in
      let (absent, none) = (program.newLabel(), program.newLabel())
      program.jump(absent) { $0[0] == 0 }
      program.get(orders.publishedGet, into: 1, tail)
      program.jump("turn") { $0[1] != $0[2] }
      if mistake == .saysTooLateThatTheRoleIsHere { program.set(orders.publishedSet, place) { _ in 1 } }
      program.jump(none)
      program.label(absent)
      program.get(orders.relaxedGet, into: 1, arrivals)
      program.jump("turn") { $0[1] == 1 }
      program.label(none)
    }
    new.label("end")
    new.add(.end)
    return Model(words: 6, places: 1, programs: [producer, old, new], bells: 2)
  }

  // MARK: Tallies

  /// A role counts three events and raises a flag for the log (``EventLog/tally``), whose thread is called where the
  /// flag was down (``Digest``): the last event is told without another one.
  func tally() -> Model {
    let (counter, flag) = (0, 1)
    var role = ThreadProgram("role")
    for count in 1...3 as ClosedRange<Int16> {
      role.set(orders.relaxedSet, counter) { _ in count }
      let over = role.newLabel()
      role.exchange(orders.raiseFirst, flag, wanted: 0, else: over)
      role.add(.ring(bell: 0))
      role.label(over)
    }
    role.add(.end)
    var log = ThreadProgram("log")
    log.label("turn")
    log.get(orders.relaxedGet, into: 1, flag)
    log.jump("told") { $0[1] == 0 }
    log.exchange(orders.takeDown, flag, wanted: 1, else: "tell")
    log.label("tell")
    log.add(.fence)
    log.get(orders.relaxedGet, into: 0, counter)
    log.label("told")
    log.jump("end") { $0[0] == 3 }
    log.add(.wait(bell: 0))
    log.jump("turn")
    log.label("end")
    log.add(.end)
    // An eventfd: the kernel locks its count for the writer and for the reader.
    return Model(words: 2, places: 0, programs: [role, log], bells: 1, synchronisingBells: [0])
  }

  // MARK: A lock

  /// Two shards change one record of the ``AddressTable``, twice each.
  func lock() -> Model {
    let shards = [0, 1].map { number in
      var shard = ThreadProgram("shard \(number)")
      for round in [0, 1] {
        let (again, spin) = ("lock \(round)", "spin \(round)")
        let locked = "locked \(round)"
        shard.label(again)
        for access in orders.lock {
          switch access {
          case .exchange(let order):
            shard.add(.exchange(into: 0, word: 0, 1, order))
            shard.jump(locked) { $0[0] == 0 }
            shard.label(spin)
          case .load(let order):
            shard.add(.load(into: 0, word: 0, order))
            shard.jump(spin) { $0[0] != 0 }
          case .store, .add, .fence: preconditionFailure("a lock with \(access)")
          }
        }
        shard.jump(again)
        shard.label(locked)
        shard.add(.write(place: { _ in 0 }, { _ in Int16(number) }))
        shard.set(orders.unlock, 0) { _ in 0 }
      }
      shard.add(.end)
      return shard
    }
    return Model(words: 1, places: 1, programs: shards, bells: 0)
  }

  static let all: [(name: String, make: @Sendable (LaneModels) -> Model)] = [
    ("a lane of records", { $0.recordLane() }), ("the way up", { $0.uplinkLane() }), ("a bell", { $0.bell() }),
    ("a role that moves", { $0.movingRole() }), ("requests", { $0.requests() }),
    ("tallies", { $0.tally() }), ("a lock", { $0.lock() }),
  ]
}
