import Glibc

/// Which host a role is at, and at which the control thread wants it to be.
///
/// Only the host that the role is at writes `host`, and after it has written another, nothing that belongs to the role.
/// The host that finds itself named there may touch everything the role has from then on.
struct Whereabouts: Sendable {
  private let hostWord: SharedWord
  private let wantedWord: SharedWord
  /// Wakes the host that the role is at.
  let bell: RoleBell

  init(_ arena: Arena, _ bells: HostBells, host: Int) {
    hostWord = SharedWord(arena)
    wantedWord = SharedWord(arena)
    bell = RoleBell(arena, bells, host: host)
    hostWord.published = UInt64(truncatingIfNeeded: host)
    wantedWord.published = UInt64(truncatingIfNeeded: host)
  }

  var host: Int {
    get { Int(truncatingIfNeeded: hostWord.published) }
    nonmutating set { hostWord.published = UInt64(truncatingIfNeeded: newValue) }
  }

  var wanted: Int {
    get { Int(truncatingIfNeeded: wantedWord.published) }
    nonmutating set { wantedWord.published = UInt64(truncatingIfNeeded: newValue) }
  }
}

/// A role, and what goes with it from host to host.
struct Seat<Role: ~Copyable>: ~Copyable {
  var role: Role
  let whereabouts: Whereabouts
  /// From the control thread.
  var settings: RecordConsumer<HostSettings>

  var hasStarted = false
  /// It takes up nothing that would keep it at its host, and goes as soon as nothing does.
  var isLeaving = false
  var isDraining = false
  /// It has nothing left to do, and the control thread has been told.
  var isDone = false
  /// Its sockets have been closed, because the relay stops.
  var isClosed = false
  /// Has something to do in this turn; and when it has something to do by the clock, in its own time.
  var isActive = true
  var due: UInt64 = 0

  /// What is added to the clock of the present host to have the role's, which goes on where it was when the role moves:
  /// each thread's clock leaves out the time that this thread stood still. In between, what the role's has left out.
  var clockShift: UInt64 = 0
  var stoodStill: UInt64 = 0
  /// When it left its last host, on its own clock; and that host's last standstill, after which clients are given time.
  var leftAt: UInt64 = 0
  var grace = Standstill()

  init(_ role: consuming Role, _ whereabouts: Whereabouts, _ settings: RecordLane<HostSettings>) {
    self.role = role
    self.whereabouts = whereabouts
    self.settings = RecordConsumer(settings)
  }
}

/// A role as the hosts see it. Each host has a place for each role; at most one host may use it.
///
/// Invariant: `place` is nil, or leads into the ``RoleTable``, and the role's ``Whereabouts`` name this host.
struct Hosted<Role: ~Copyable> {
  private var place: UnsafeMutablePointer<Seat<Role>>?

  init(_ place: UnsafeMutablePointer<Seat<Role>>? = nil) { self.place = place }

  @inline(__always) var isHere: Bool { place != nil }

  @inline(__always) var seat: Seat<Role> {
    // The caller has checked that it is there.
    _read { yield place.unsafelyUnwrapped.pointee }
    // The caller has checked that here, too.
    nonmutating _modify { yield &place.unsafelyUnwrapped.pointee }
  }

  @inline(__always) var role: Role {
    // And here.
    _read { yield place.unsafelyUnwrapped.pointee.role }
    // And here.
    nonmutating _modify { yield &place.unsafelyUnwrapped.pointee.role }
  }
}

/// All roles that can be at any host: the shards and the firehose. It owns their memory, and is kept until every thread
/// has been joined.
///
/// Invariant: the first `shardCount` places of `shards` hold one each, and `firehosePlace` where `hasFirehose`.
final class RoleTable<K: Kernel & ~Copyable>: @unchecked Sendable {
  private let shards: UnsafeMutablePointer<Seat<Shard<K>>>
  private(set) var shardCount = 0
  private let firehosePlace: UnsafeMutablePointer<Seat<Firehose<K>>>
  private var hasFirehose = false
  /// Where each role is: the shards', then the firehose's.
  let whereabouts: [Whereabouts]
  let bells: HostBells
  /// For each host: whether it should look for roles that have moved to it.
  private let arrivals: [SharedWord]
  /// For each host: the last call of the control thread that it has heard.
  let calls: [SharedWord]

  init(_ arena: Arena, _ placement: Placement, _ bells: HostBells, shards: Int) {
    self.shards = .allocate(capacity: shards)
    firehosePlace = .allocate(capacity: 1)
    self.bells = bells
    whereabouts = (0...shards).map { role in
      Whereabouts(arena, bells, host: role < shards ? placement.host(ofShard: role) : placement.firehoseHost)
    }
    arrivals = placement.hosts.map { _ in SharedWord(arena) }
    calls = placement.hosts.map { _ in SharedWord(arena) }
  }

  deinit {
    shards.deinitialize(count: shardCount)
    shards.deallocate()
    if hasFirehose { firehosePlace.deinitialize(count: 1) }
    firehosePlace.deallocate()
  }

  /// Adds the next shard, before there are hosts.
  func add(_ shard: consuming Shard<K>, _ settings: RecordLane<HostSettings>) {
    (shards + shardCount).initialize(to: Seat(shard, whereabouts[shardCount], settings))
    shardCount += 1
  }

  func add(_ firehose: consuming Firehose<K>, _ settings: RecordLane<HostSettings>) {
    firehosePlace.initialize(to: Seat(firehose, whereabouts[whereabouts.count - 1], settings))
    hasFirehose = true
  }

  /// Closes the sockets of roles that no host had at its end, because they were just moving, and frees what was on its
  /// way between roles. For when no host is left.
  func closeOrphans() {
    for number in 0..<shardCount where !(shards + number).pointee.isClosed {
      (shards + number).pointee.role.closeSockets()
    }
    if hasFirehose, !firehosePlace.pointee.isClosed, firehosePlace.pointee.role.socket >= 0 {
      Glibc.close(firehosePlace.pointee.role.socket)
    }
    if hasFirehose { firehosePlace.pointee.role.discardAnswers() }
  }

  /// For the host that the role is at, and for nobody else.
  func shard(_ number: Int) -> Hosted<Shard<K>> {
    // Numbers come from ranges up to the count.
    precondition(number < shardCount)
    return Hosted(shards + number)
  }

  func firehose() -> Hosted<Firehose<K>> { Hosted(firehosePlace) }

  func arrivals(at host: Int) -> SharedWord { arrivals[host] }

  /// Shows a host the role that has moved to it, and wakes it.
  func announceArrival(at host: Int, _ kernel: inout K) {
    arrivals[host].published = 1
    SharedWord.fence()
    if bells[host].takeSleep() { kernel.ring(bells[host]) }
  }
}
