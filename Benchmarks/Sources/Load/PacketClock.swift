/// When packets are due, and how long they took.
///
/// With a window, one packet a client is timed at a time, from the send to the turn of the loop in which it came. At a
/// rate every packet is timed from the moment when it was *due*: a relay that stalls cannot hide that by holding up the
/// load as well (coordinated omission). Those are timed that are due in the measurement, whenever they come: what a
/// relay holds back when the measurement ends is timed in the drain, and what never comes counts until it is given up.
///
///     packet k of all is due at  start + k * interval,  is of client k mod clients,  and has sequence k / clients
///
/// One to all, round k is due then, and is packet k of every client. Without a rate, a round is sent when fewer than
/// `window` others are not yet with everybody.
struct PacketClock {
  private let clients: Int
  private let isRounds: Bool
  private let window: Int
  /// Nanoseconds between two packets or rounds; 0 where a window sets the pace.
  private let interval: Double
  private var start: UInt64 = 0
  /// Packets or rounds that were released.
  private(set) var released: UInt64 = 0

  // Rounds without a rate: when each was released, and with how many clients it is.
  private var releasedAt: [UInt64]
  private var arrivals: [Int]
  private var completed: UInt64 = 0

  /// Whether it is measured now.
  private var isTiming = false
  /// At a rate: the packets or rounds that are due in the measurement.
  private var timed: Range<UInt64> = 0..<0
  private(set) var latency = LatencyHistogram()

  init(_ plan: LoadPlan) {
    clients = plan.clients
    isRounds = plan.mode == .oneToAll
    switch plan.pace {
    case .window(let packets): (window, interval) = (packets, 0)
    case .rate(let rate): (window, interval) = (0, 1e9 / rate)
    }
    // The last of the warm-up is due before its end, whenever the loop comes round to that end.
    if interval > 0 { timed = UInt64((plan.warmup * 1e9 / interval).rounded(.up))..<(.max) }
    releasedAt = Array(repeating: 0, count: max(1, window))
    arrivals = Array(repeating: 0, count: max(1, window))
  }

  /// Whether each client's own window decides.
  var isByWindow: Bool { interval == 0 && !isRounds }

  mutating func begin(_ now: UInt64) { start = now }

  mutating func startTiming() { isTiming = true }

  /// The measurement is over; what has become due by now stays timed.
  mutating func stopTiming() {
    isTiming = false
    if interval > 0 { timed = min(timed.lowerBound, released)..<released }
  }

  /// Packets or rounds that have become due and were not released yet.
  func due(_ now: UInt64) -> UInt64 {
    if interval > 0 { return UInt64(Double(now - start) / interval) + 1 - released }
    return isRounds ? completed + UInt64(window) - released : 0
  }

  /// Nanoseconds until the next one is due; nil where it is not time that decides.
  func untilNext(_ now: UInt64) -> UInt64? {
    guard interval > 0 else { return nil }
    let next = start + UInt64(Double(released) * interval)
    return next > now ? next - now : 0
  }

  /// Releases the next packet or round; returns the client that it is for, nil for all.
  mutating func release(_ now: UInt64) -> Int? {
    defer { released += 1 }
    guard !isRounds else {
      releasedAt[Int(released % UInt64(releasedAt.count))] = now
      return nil
    }
    return Int(released % UInt64(clients))
  }

  /// Packets `from` to below `to` of the client have come.
  @inline(__always)
  mutating func arrived(_ client: inout LoadClient, _ index: Int, from: UInt64, to: UInt64, now: UInt64) {
    if isByWindow {
      guard client.timedAt != 0, to > client.timedSequence else { return }
      if isTiming { latency.record(now &- client.timedAt) }
      client.timedAt = 0
    } else {
      for sequence in from..<to {
        if interval > 0 {
          if client.isTimed { time(sequence, of: index, now) }
        } else {
          arrivedOfRound(sequence, now)
        }
      }
    }
  }

  /// Nothing more is awaited. What was due and has not come by now took at least until now, sent or not.
  mutating func giveUp(_ client: LoadClient, _ index: Int, now: UInt64) {
    guard interval > 0, client.isTimed, client.checker.next < client.allowed else { return }
    for sequence in client.checker.next..<client.allowed { time(sequence, of: index, now) }
  }

  /// At a rate: times the packet from when it was due.
  private mutating func time(_ sequence: UInt64, of client: Int, _ now: UInt64) {
    let number = isRounds ? sequence : sequence * UInt64(clients) + UInt64(client)
    guard timed.contains(number) else { return }
    let due = start + UInt64(Double(number) * interval)
    latency.record(now > due ? now - due : 0)
  }

  /// Without a rate: counts and times a packet that went to all.
  private mutating func arrivedOfRound(_ sequence: UInt64, _ now: UInt64) {
    let slot = Int(sequence % UInt64(window))
    let due = releasedAt[slot]
    arrivals[slot] += 1
    while completed < released, arrivals[Int(completed % UInt64(window))] == clients {
      arrivals[Int(completed % UInt64(window))] = 0
      completed += 1
    }
    if isTiming { latency.record(now > due ? now - due : 0) }
  }
}
