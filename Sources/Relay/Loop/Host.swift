/// One thread's part of the relay: a kernel, and the roles that run over it. The relay's only loop is here.
///
/// A host has any number of shards, perhaps the firehose, perhaps a handshake worker. Shards and firehose move from
/// host to host while the relay runs:
///
///     control thread          old host                                     new host
///     wants the role there -> 1. stops accepting for it; it goes on
///                             2. its sends have settled: it is let go  ->  3. its clients are heard here: polls and
///                             4. cancels the polls it left behind             accepts enter this ring, in slices
///
/// A test drives any number of hosts in one thread, turn by turn.
struct Host<K: Kernel & ~Copyable>: ~Copyable {
  var kernel: K
  private let number: Int
  private let table: RoleTable<K>
  /// By their number, and those that are here, side by side.
  private var shards: FixedArray<Hosted<Shard<K>>>
  private var here: FixedArray<Hosted<Shard<K>>>
  private(set) var shardCount = 0
  private(set) var firehose = Hosted<Firehose<K>>()
  private var workers: FixedArray<HandshakeWorker>
  private let bell: Bell
  private let arrivals: SharedWord
  private let heardCall: SharedWord
  private var departed = DepartedPolls()
  let control: ControlBlock
  private let wakeSignal: Int32
  /// Where the thread notes how long it sleeps, if it is to.
  var meter: ThreadMeter?
  /// The control thread has called: there are new settings, a role should move, or the relay is shutting down.
  private var isCalled = false
  /// The relay is shutting down, as far as the host has seen.
  private var isEnding = false

  /// `wakeSignal` is an eventfd on which the control thread wakes the host. `others`: hosts whose workers join this
  /// one.
  init(
    kernel: consuming K, parts: HostParts<K>, others: [HostParts<K>] = [], wakeSignal: Int32, control: ControlBlock
  ) {
    self.kernel = kernel
    number = parts.number
    table = parts.table
    shards = FixedArray(count: parts.table.shardCount) { _ in Hosted() }
    here = FixedArray(count: parts.table.shardCount) { _ in Hosted() }
    workers = HostParts.takeWorkers(of: [parts] + others)
    bell = parts.bell
    arrivals = parts.table.arrivals(at: parts.number)
    heardCall = parts.table.calls[parts.number]
    self.wakeSignal = wakeSignal
    self.control = control
  }

  /// The loop. It runs until the relay stops.
  @inline(never)
  mutating func run() {
    start()
    while control.phase != .stopping {
      turn()
      sleep()
    }
    finish()
  }

  @inline(never)
  mutating func start() {
    listenToControl()
    takeArrivals()
  }

  /// The control thread wakes the host through this poll. What it wants is in the control block, the settings lanes and
  /// the whereabouts.
  @inline(never)
  private mutating func listenToControl() {
    kernel.submit(.pollReadable(wakeSignal), Token(.control))
  }

  /// One turn. First it records what the kernel reports. Then it reads the clients, and sends the backend what they
  /// sent in one call. Last it reads the backend, and sends the clients what it sent. The order matters: a send wakes
  /// its receiver, so a backend that is woken at that point finds all of the turn's packets at once, and what was read
  /// leaves while it is still in the cache.
  mutating func turn() {
    bell.announceAwake()
    while let completion = kernel.next() { dispatch(completion) }
    if isCalled { answerControl() }
    if arrivals.isRaised || isMoving { moveRoles() }
    findActive()
    for place in 0..<shardCount {
      let shard = at(place)
      guard shard.seat.isActive else { continue }
      begin(shard)
      shard.role.readClients(&kernel)
      shard.role.publish(&kernel)
    }
    if firehose.isHere {
      kernel.clockShift = firehose.seat.clockShift
      firehose.role.transmit(&kernel)
      firehose.role.receive(&kernel)
      firehose.role.expire(&kernel)
    }
    if shardCount > 1 { countClients() }
    for place in 0..<shardCount {
      let shard = at(place)
      if !shard.seat.isActive {
        guard shard.role.hasPackets() else { continue }
        shard.seat.isActive = true
        begin(shard)
      }
      kernel.clockShift = shard.seat.clockShift
      shard.role.deliver(&kernel)
      shard.role.expire(&kernel)
      shard.role.publish(&kernel)
      if shardCount > 1 { shard.seat.due = shard.role.nextDeadline() }
    }
    for worker in 0..<workers.count { workers[worker].work(&kernel) }
    if isEnding { sayWhoIsDone() }
  }

  @inline(__always)
  private func at(_ place: Int) -> Hosted<Shard<K>> { here[place] }

  /// What a shard's turn begins with.
  @inline(__always)
  private mutating func begin(_ shard: Hosted<Shard<K>>) {
    kernel.clockShift = shard.seat.clockShift
    shard.role.settleSends(&kernel)
    if shard.role.nextToPoll != .none { shard.role.pollSome(&kernel) }
    shard.role.receiveMessages(&kernel)
  }

  /// Of many shards few have something to do, and a turn leaves out the others.
  @inline(__always)
  private mutating func findActive() {
    if shardCount == 1 { at(0).seat.isActive = true } else { findActiveOfMany() }
  }

  @inline(never)
  private mutating func findActiveOfMany() {
    for place in 0..<shardCount {
      let shard = at(place)
      guard !shard.seat.isActive else { continue }
      kernel.clockShift = shard.seat.clockShift
      shard.seat.isActive = shard.role.needsTurn(due: shard.seat.due, besideFirehose: firehose.isHere, kernel)
    }
  }

  /// Tells each shard for how many clients of the others there are packets: the sends of all enter the kernel together.
  @inline(never)
  private mutating func countClients() {
    var all = 0
    for place in 0..<shardCount {
      let here = at(place).role.clientsWithPackets()
      at(place).role.sends.elsewhere = here
      all &+= here
    }
    for place in 0..<shardCount { at(place).role.sends.elsewhere = all &- at(place).role.sends.elsewhere }
  }

  /// Starts the operations that the turn queued, and sleeps if no role has anything to do.
  mutating func sleep() {
    bell.announceSleep()
    let hasWork = hasWork()
    kernel.clockShift = 0
    if shardCount > 1 {
      for place in 0..<shardCount { at(place).seat.isActive = false }
    }
    if hasWork {
      kernel.poll()
    } else if let meter, meter.isWatched {
      sleepWatched(meter)
    } else {
      kernel.wait(until: nextDeadline())
    }
  }

  /// Starts what is queued before the sleep, so that nothing but the sleep is timed.
  @inline(never)
  private mutating func sleepWatched(_ meter: ThreadMeter) {
    kernel.poll()
    // What has completed ends the sleep before it begins; the turn goes on with the rest of it.
    if let completion = kernel.next() { return dispatch(completion) }
    meter.sleeps(at: kernel.moment())
    kernel.wait(until: nextDeadline())
    meter.wakes(at: kernel.moment())
  }

  @inline(__always)
  private mutating func dispatch(_ completion: Completion) {
    switch completion.token.purpose {
    case .clientReadable, .clientWritable, .clientSent, .accept:
      let shard = shards[completion.token.shard]
      guard shard.isHere, completion.token.isFor(shard.role.connections.waiter) else { return discard(completion) }
      shard.seat.isActive = true
      kernel.clockShift = shard.seat.clockShift
      shard.role.handle(completion, &kernel)
    case .firehoseReadable, .firehoseWritable, .resolved:
      guard firehose.isHere else {
        if completion.token.purpose == .resolved { kernel.forget(completion) }
        return
      }
      kernel.clockShift = firehose.seat.clockShift
      firehose.role.handle(completion, &kernel)
    case .control:
      isCalled = true
      if !completion.more { listenToControl() }
    case .unheardBell:
      kernel.ringAgain(completion)
    case .bell, .timeout, .none:
      // It only wakes the thread: every turn looks at the lanes anyway.
      break
    }
  }

  /// A completion for a shard that has left. Nobody misses what a poll says; a socket has to be closed.
  @inline(never)
  private mutating func discard(_ completion: Completion) {
    guard completion.token.purpose == .accept, completion.result >= 0 else { return }
    kernel.submit(.close(completion.result), Token(.none))
  }

  // MARK: What the control thread wants

  @inline(never)
  private mutating func answerControl() {
    isCalled = false
    heardCall.published = control.call
    for place in 0..<shardCount { attend(to: at(place)) }
    if firehose.isHere { attendToFirehose() }
  }

  private mutating func attend(to shard: Hosted<Shard<K>>) {
    shard.seat.isActive = true
    kernel.clockShift = shard.seat.clockShift
    while shard.seat.settings.available() > 0 {
      shard.role.apply(shard.seat.settings.take(), kernel)
      // Not before: once they are released, the relay may free what they point to.
      _ = shard.seat.settings.release()
    }
    if !shard.seat.isLeaving { shard.role.acceptIfAllowed(&kernel) }
    isEnding = control.phase != .running
    if isEnding, !shard.seat.isDraining {
      shard.seat.isDraining = true
      shard.role.beginDrain(&kernel)
    }
    if shard.seat.whereabouts.wanted != number, !shard.seat.isLeaving {
      shard.seat.isLeaving = true
      departures += 1
      isMoving = true
      shard.role.beginLeaving(&kernel)
    }
  }

  private mutating func attendToFirehose() {
    kernel.clockShift = firehose.seat.clockShift
    while firehose.seat.settings.available() > 0 {
      firehose.role.apply(firehose.seat.settings.take())
      _ = firehose.seat.settings.release()
    }
    isEnding = control.phase != .running
    if isEnding, !firehose.seat.isDraining {
      firehose.seat.isDraining = true
      firehose.role.beginDrain(&kernel)
    }
    if firehose.seat.whereabouts.wanted != number, !firehose.seat.isLeaving {
      firehose.seat.isLeaving = true
      departures += 1
      isMoving = true
    }
  }

  // MARK: Roles that move

  /// Roles that are about to leave; and whether there are any, or polls of roles that have left.
  private var departures = 0
  private var isMoving = false
  /// There was no memory for the list of polls that a shard leaves behind: it is tried again a little later.
  private var lacksMemory = false

  /// Takes in what has come, lets go what may leave, and cancels polls that were left behind. Called early in a turn,
  /// because at its end there are sends under way again.
  @inline(never)
  private mutating func moveRoles() {
    if arrivals.isRaised { takeArrivals() }
    if departures > 0 { letGo() }
    if !departed.isEmpty { departed.cancelSome(&kernel) }
    isMoving = departures > 0 || !departed.isEmpty
  }

  /// Takes the roles that are here and were not. Polls that were left behind here go first, so that no socket is polled
  /// twice in one ring.
  private mutating func takeArrivals() {
    guard departed.isEmpty else { return }
    _ = arrivals.takeDown()
    for shard in 0..<table.shardCount where !shards[shard].isHere && table.whereabouts[shard].host == number {
      shards[shard] = table.shard(shard)
      here[shardCount] = shards[shard]
      shardCount += 1
      let shard = shards[shard]
      moveIn(&shard.seat)
      if shard.seat.hasStarted { shard.role.arrive(at: number, &kernel) } else { shard.role.start(&kernel) }
      shard.seat.hasStarted = true
      attend(to: shard)
    }
    if !firehose.isHere, table.whereabouts[table.shardCount].host == number {
      firehose = table.firehose()
      moveIn(&firehose.seat)
      if firehose.seat.hasStarted { firehose.role.arrive(at: number, &kernel) } else { firehose.role.start(&kernel) }
      firehose.seat.hasStarted = true
      attendToFirehose()
    }
  }

  private mutating func moveIn<Role: ~Copyable>(_ seat: inout Seat<Role>) {
    seat.whereabouts.bell.moves(to: number)
    kernel.clockShift = 0
    // A role that has not started yet begins with this thread's clock.
    if seat.hasStarted {
      seat.clockShift = kernel.machineNow &- kernel.now &- seat.stoodStill
      // This host may have looked at the clock last before the old one did, and a role's time never goes back.
      seat.clockShift &+= seat.leftAt &- min(seat.leftAt, kernel.now &+ seat.clockShift)
      kernel.takeOver(seat.grace)
    }
    kernel.clockShift = seat.clockShift
  }

  private mutating func moveOut<Role: ~Copyable>(_ seat: inout Seat<Role>) {
    departures -= 1
    seat.isLeaving = false
    kernel.clockShift = seat.clockShift
    seat.stoodStill = kernel.machineNow &- kernel.now
    seat.leftAt = kernel.now
    seat.grace = kernel.standstill
    let next = seat.whereabouts.wanted
    // From here on it is the other host's.
    seat.whereabouts.host = next
    table.announceArrival(at: next, &kernel)
  }

  /// Lets roles go for which nothing is under way here any more; shards one at a time, because of the polls that each
  /// leaves behind.
  private mutating func letGo() {
    if firehose.isHere, firehose.seat.isLeaving, firehose.role.canLeave() {
      kernel.clockShift = firehose.seat.clockShift
      firehose.role.leave(&kernel)
      let leaving = firehose
      firehose = Hosted()
      moveOut(&leaving.seat)
    }
    guard departed.isEmpty else { return }
    for place in 0..<shardCount {
      let shard = at(place)
      guard shard.seat.isLeaving else { continue }
      kernel.clockShift = shard.seat.clockShift
      shard.role.settleSends(&kernel)
      guard shard.role.canLeave() else { continue }
      lacksMemory = !shard.role.leave(&departed)
      if lacksMemory { continue }
      shards[shard.role.number] = Hosted()
      shardCount -= 1
      shard.role.sends.elsewhere = 0
      // Not only the order stays: none that has left can be reached here.
      for later in place..<shardCount { here[later] = here[later + 1] }
      here[shardCount] = Hosted()
      if shardCount == 1 { at(0).role.sends.elsewhere = 0 }
      moveOut(&shard.seat)
      return
    }
  }

  // MARK: Sleeping

  private mutating func hasWork() -> Bool {
    if arrivals.isRaised || isMoving && canMoveOn() { return true }
    // The firehose first: it announces what it waits for, and a shard on the same thread relies on that.
    if firehose.isHere, firehose.role.hasWork() { return true }
    for place in 0..<shardCount {
      if at(place).role.hasWork(besideFirehose: firehose.isHere) { return true }
    }
    for worker in 0..<workers.count where workers[worker].hasWork() { return true }
    return false
  }

  /// Whether a move goes on without a completion: sends that have started are done once the thread looks.
  @inline(never)
  private func canMoveOn() -> Bool {
    if !departed.isEmpty { return true }
    for place in 0..<shardCount where at(place).seat.isLeaving {
      if at(place).role.sends.areUnderWay || at(place).role.canLeave() && !lacksMemory { return true }
    }
    return false
  }

  /// In the thread's time.
  private mutating func nextDeadline() -> UInt64 {
    var deadline = lacksMemory ? kernel.now &+ Limits.moveRetry : .max
    if shardCount == 1 { at(0).seat.due = at(0).role.nextDeadline() }
    if firehose.isHere {
      deadline = min(deadline, firehose.role.nextDeadline().shifted(back: firehose.seat.clockShift))
    }
    for place in 0..<shardCount {
      deadline = min(deadline, at(place).seat.due.shifted(back: at(place).seat.clockShift))
    }
    return deadline
  }

  // MARK: The end

  /// Tells the control thread of each role that has nothing left to do. The loop continues until all others are done
  /// too, because packets that still arrive for its clients have to be taken off the lanes.
  @inline(never)
  private mutating func sayWhoIsDone() {
    for place in 0..<shardCount where !at(place).seat.isDone && at(place).role.isDrained() {
      at(place).seat.isDone = true
      control.addDoneRole()
    }
    if firehose.isHere, !firehose.seat.isDone, firehose.role.isDone() {
      firehose.seat.isDone = true
      control.addDoneRole()
    }
  }

  /// Whether the relay has nothing left to do.
  func isDone() -> Bool {
    switch control.phase {
    case .running: false
    case .stopping: true
    case .draining: control.rolesDone == table.whereabouts.count
    }
  }

  /// Whether a handshake worker is here.
  var hostsWorker: Bool { workers.count > 0 }

  /// Closes what is still open when the relay stops, and starts the closes that are queued.
  @inline(never)
  private mutating func finish() {
    // Its descriptor closes with the kernel.
    bell.announceAwake()
    _ = closeAccepted()
    // A role that was let go for this host and has not been taken in is closed here, too.
    departed = DepartedPolls()
    takeArrivals()
    for place in 0..<shardCount {
      at(place).role.abortAll(&kernel)
      at(place).seat.isClosed = true
    }
    if firehose.isHere {
      firehose.role.closeSocket(&kernel)
      firehose.seat.isClosed = true
    }
    repeat { kernel.poll() } while closeAccepted()
  }

  /// Closes the sockets of accept completions that no turn has handled. True if there were any.
  private mutating func closeAccepted() -> Bool {
    var found = false
    while let completion = kernel.next() {
      guard completion.token.purpose == .accept, completion.result >= 0 else { continue }
      kernel.submit(.close(completion.result), Token(.none))
      found = true
    }
    return found
  }
}

extension UInt64 {
  /// A deadline of a role's clock on its thread's. Never stays never, and `.max - 1`, which only asks not to sleep
  /// without a deadline, is no moment of anybody's clock either.
  fileprivate func shifted(back shift: UInt64) -> UInt64 { self >= .max - 1 ? self : self &- shift }
}

#if DEBUG
extension Host where K: ~Copyable {
  mutating func checkInvariants() throws(InvariantViolation) {
    try require(shardCount <= shards.count, "more shards are here than there are")
    for place in 0..<shardCount {
      let shard = at(place)
      try require(shard.isHere && shards[shard.role.number].isHere, "a shard is listed and is not here")
      try require(shard.seat.whereabouts.host == number, "shard \(shard.role.number) is used by two hosts")
      kernel.clockShift = shard.seat.clockShift
      try shard.role.checkInvariants(kernel)
    }
    kernel.clockShift = 0
  }
}
#endif
