/// Decides which role should be at which host: as few threads as carry the traffic, because packets that come in spread
/// over threads come alone to each, and a packet alone in a wake-up costs ten times a packet among many.
///
/// A pure function from what was measured to a move, or to none:
///
/// - **Spread.** A thread that is busy nearly all the time has no more to give. If a CPU is idle, one of its roles goes
///   to the thread that has most to give, the one that leaves both with the most even load. A thread that waits for a
///   CPU would only take turns with another one: then nothing is spread.
/// - **Fold.** Two threads that together would leave one with time to spare are one too many. The roles of the one that
///   has less to do go to the other.
/// - **Take turns no more.** Two threads that wait for each other's CPU, on a machine that has none left, cost more
///   than one: they are folded too, if one can carry both.
///
/// - **Try, where nobody says whether a CPU is idle.** A thread that is full and never waits for a CPU may have a
///   second one. If the two then wait for each other, they are folded, and the next try comes later, each time twice as
///   late.
///
/// Each is wanted for some time before it is done, and folding for longer than spreading: a relay that is too small is
/// worse than one that is too large. What is folded leaves room enough that it is not spread again at once: the two
/// thresholds are far apart. And what each role does of its thread's work is an estimate: a role that has been moved to
/// spread the load stays there for a while, longer each time, so that a wrong estimate does not send it back and forth.
struct Balance {
  /// What one role did, as a share of what its host did: see ``LoadMeter``.
  struct RoleLoad: Equatable {
    /// Among all roles: the shards, then the firehose.
    var role: Int
    /// Any measure, the same for all.
    var weight: Double
    /// Whether it may go elsewhere.
    var moves = true
  }

  /// One thread.
  struct HostLoad: Equatable {
    /// CPU time, and time in which it wanted a CPU and had none, each as a share of the time that passed.
    var busy: Double
    var waited: Double
    var roles: [RoleLoad]
  }

  struct Measurement: Equatable {
    var hosts: [HostLoad]
    /// How many of the CPUs that the relay may use were idle, in CPUs; nil if nobody says.
    var idleCPUs: Double?
    /// There is no CPU time for more threads, because a control group allows the relay no more than it has.
    var isShortOfCPUs = false
  }

  struct Move: Equatable {
    var role: Int
    var host: Int
  }

  /// How many measurements in a row have asked for it.
  private var spreadWanted = 0
  private var foldWanted = 0
  /// The host of which roles are going away: it gets none back meanwhile.
  private var emptied: Int?
  /// Roles that have been moved to spread the load.
  private var resting: [Int: Rest] = [:]
  /// Before the next try without knowing whether a CPU is idle.
  private var trial: Rest?

  /// Something is not done again for so many measurements, and each time it is, for twice as many.
  private struct Rest {
    private(set) var left: Int
    private let length: Int

    init(_ first: Int, after last: Rest?) {
      length = min(last.map { 2 * $0.length } ?? first, Limits.restMost)
      left = length
    }

    /// False once it has been forgotten: as long after its end as it lasted.
    mutating func passes() -> Bool {
      left -= 1
      return left > -length
    }
  }

  /// What to do after `measurement`, which was made while nothing moved.
  mutating func decide(_ measurement: Measurement) -> Move? {
    for role in resting.keys where resting[role]?.passes() == false { resting[role] = nil }
    if trial?.passes() == false { trial = nil }
    if let move = spread(measurement) {
      foldWanted = 0
      emptied = nil
      spreadWanted += 1
      guard spreadWanted >= Limits.spreadAfter else { return nil }
      resting[move.role] = Rest(Limits.restAfterSpread, after: resting[move.role])
      return move
    }
    spreadWanted = 0
    guard let (from, move) = fold(measurement) else {
      foldWanted = 0
      emptied = nil
      return nil
    }
    foldWanted += 1
    guard foldWanted >= Limits.foldAfter else { return nil }
    // The first of its roles: they have been found to take turns.
    if measurement.idleCPUs == nil, emptied != from, takesTurns(measurement, from) {
      trial = Rest(Limits.restAfterTrial, after: trial)
    }
    emptied = from
    // When there is more to do again, it may go back at once.
    resting[move.role] = nil
    return move
  }

  // MARK: Spreading

  private func spread(_ measurement: Measurement) -> Move? {
    let hosts = measurement.hosts
    guard !measurement.isShortOfCPUs else { return nil }
    if let idle = measurement.idleCPUs {
      guard idle >= Limits.idleToSpread else { return nil }
    } else {
      guard (trial?.left ?? 0) <= 0 else { return nil }
    }
    let full = hosts.indices.filter {
      hosts[$0].busy >= Limits.busyToSpread && hosts[$0].waited < Limits.waitedToSpread
    }
    // The busiest first; one that cannot be helped, because it has a single role, keeps none of the others from it.
    for host in full.sorted(by: { hosts[$0].busy > hosts[$1].busy }) {
      if let move = relieve(host, hosts) { return move }
    }
    return nil
  }

  /// The move that helps a full host most, if there is one that is worth it.
  private func relieve(_ full: Int, _ hosts: [HostLoad]) -> Move? {
    guard let free = hosts.indices.filter({ $0 != full }).min(by: { hosts[$0].busy < hosts[$1].busy }) else {
      return nil
    }
    var best: (role: Int, most: Double)?
    // Of roles that would leave the same, the one that does less goes.
    let shares = zip(hosts[full].roles, hosts[full].shares).sorted { $0.1 < $1.1 }
    for (load, share) in shares where load.moves && share > 0 && (resting[load.role]?.left ?? 0) <= 0 {
      let most = max(hosts[full].busy - share, hosts[free].busy + share)
      if most < (best?.most ?? .infinity) - Limits.sameLoad { best = (load.role, most) }
    }
    guard let best, hosts[full].roles.count > 1, best.most <= hosts[full].busy - Limits.gainToSpread else { return nil }
    return Move(role: best.role, host: free)
  }

  // MARK: Folding

  private func fold(_ measurement: Measurement) -> (from: Int, move: Move)? {
    let hosts = measurement.hosts
    let used = hosts.indices.filter { !hosts[$0].roles.isEmpty }
    // Roles that stay where they are keep their thread: another one can only come to it.
    var best: (from: Int, to: Int, busy: Double)?
    for from in used where hosts[from].roles.contains(where: \.moves) {
      for to in used where to != from {
        let stays = hosts[from].roles.contains { !$0.moves }
        let busy = hosts[from].busy + hosts[to].busy
        let takeTurns = takesTurns(measurement, from) && takesTurns(measurement, to)
        let most = measurement.idleCPUs == nil ? Limits.busyToEndTrial : Limits.busyToTakeTurns
        guard !stays, busy <= (takeTurns ? most : Limits.busyToFold) else { continue }
        // The one with less to do goes; of two alike, the one with the higher number; and any to what has to stay.
        let isBound = from == emptied || hosts[to].roles.contains { !$0.moves }
        guard to != emptied else { continue }
        guard isBound || (hosts[from].busy, to) <= (hosts[to].busy, from) else { continue }
        if busy < best?.busy ?? .infinity { best = (from, to, busy) }
      }
    }
    guard let best, let load = hosts[best.from].roles.first(where: \.moves) else { return nil }
    return (best.from, Move(role: load.role, host: best.to))
  }

  /// Whether a thread waits for CPUs on a machine that has none left.
  private func takesTurns(_ measurement: Measurement, _ host: Int) -> Bool {
    (measurement.idleCPUs ?? 0) < Limits.idleOfFullMachine && measurement.hosts[host].waited >= Limits.waitedToFold
  }
}

extension Balance.HostLoad {
  /// What each role takes of the thread's CPU time.
  fileprivate var shares: [Double] {
    let sum = roles.reduce(0) { $0 + $1.weight }
    // Where nothing says who did it, all did.
    return roles.map { sum > 0 ? busy * $0.weight / sum : busy / Double(roles.count) }
  }
}
