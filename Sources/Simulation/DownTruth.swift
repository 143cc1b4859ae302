#if TESTABLE
import VoltlaneWire

/// What the backend has sent to one session, in order, and what the client may be sent next.
struct DownTruth {
  struct Item {
    let packet: Fingerprint
    /// Bytes of all packets before it, as they go to the client.
    let offset: Int
    /// The same of those that are not volatile.
    let firmOffset: Int
    var volatile: Volatile?
  }

  /// What decides whether the relay may drop a volatile packet.
  struct Volatile {
    /// The number of the client's connection when the relay read the packet; it does not survive that.
    let link: Int
    /// So much waited by then that the packet may be dropped.
    let mayBeDropped: Bool
    /// So much waited when the relay had done with it that it was dropped.
    var isDropped = false
  }

  private(set) var items: [Item] = []
  /// The place of what may be sent next, or several that cannot be told apart; ascending.
  private(set) var next: [Int] = [0]
  private var bytes = 0
  private var firmBytes = 0
  /// Behind the last packet that is not volatile.
  private var firmEnd = 0
  /// From `firmEnd` to here, all may be dropped.
  private var droppableTo = 0
  /// Volatile packets before this place were dropped with the connection that they were for.
  private var deadBefore = 0
  /// The relay has done with what is before this place whatever it does at once.
  private var handledBefore = 0

  var count: Int { items.count }

  private var first: Int { next.first ?? 0 }

  /// Bytes that the client has not been sent, as far as can be told.
  var waiting: Int { first < items.count ? bytes - items[first].offset : 0 }

  /// How many of these are in volatile packets.
  var waitingVolatile: Int {
    items[min(first, items.count)...].reduce(0) { $0 + ($1.volatile == nil ? 0 : $1.packet.size + Wire.sizePrefix) }
  }

  mutating func append(_ packet: Fingerprint, volatile: Volatile? = nil) {
    items.append(Item(packet: packet, offset: bytes, firmOffset: firmBytes, volatile: volatile))
    bytes += packet.size + Wire.sizePrefix
    if volatile == nil {
      firmBytes += packet.size + Wire.sizePrefix
      firmEnd = items.count
      droppableTo = firmEnd
    }
  }

  /// Whether the packet at `place` need not be sent. `link`: the session's present connection, where that is as good as
  /// any; nil otherwise.
  private func mayBeDropped(_ place: Int, _ link: Int?) -> Bool {
    guard let volatile = items[place].volatile else { return false }
    return volatile.mayBeDropped || volatile.link != link || place < deadBefore
  }

  private func isDropped(_ place: Int) -> Bool {
    items[place].volatile.map { $0.isDropped || place < deadBefore } ?? false
  }

  /// The client was sent a packet. Returns its place, nil if it was not due.
  mutating func wasSent(_ packet: Fingerprint, _ link: Int?) -> Int? {
    var places: [Int] = []
    for start in next {
      var place = start
      while place < items.count {
        let isDue = items[place].packet == packet && !isDropped(place)
        if isDue, !places.contains(place + 1) { places.append(place + 1) }
        // Several that are the same follow one another: any of them may be the one.
        guard !isDue || place + 1 < items.count && items[place + 1].packet == packet, mayBeDropped(place, link) else {
          break
        }
        place += 1
      }
    }
    guard let found = places.min() else { return nil }
    next = places.sorted()
    return found - 1
  }

  /// Whether the client has been sent all that it has to be sent.
  mutating func isServed(_ link: Int?) -> Bool {
    guard let last = next.last, last >= firmEnd else { return false }
    var place = max(last, droppableTo)
    while place < items.count, mayBeDropped(place, link) { place += 1 }
    droppableTo = place
    return place == items.count
  }

  /// Nothing is under way between firehose and shard. If `most` bytes of packets that are not volatile wait now, and
  /// did so before the last ones came, the volatile ones among these were dropped.
  mutating func settle(most: Int) {
    defer { handledBefore = items.count }
    guard handledBefore < items.count, let last = next.last, last < handledBefore else { return }
    guard items[handledBefore].firmOffset - items[last].firmOffset >= most else { return }
    for place in handledBefore..<items.count { items[place].volatile?.isDropped = true }
  }

  /// The client's connection is gone, and with it what is volatile.
  mutating func loseVolatile() { deadBefore = handledBefore }

  /// Packets from `first` on may come again, those up to `due` have to.
  mutating func goBack(to first: Int, due: Int) {
    var places = Set(next)
    for place in next {
      for earlier in first..<max(first, place) where earlier <= due { places.insert(earlier) }
      if place > due { places.remove(place) }
    }
    next = places.sorted()
  }

  func isVolatile(_ place: Int) -> Bool { items[place].volatile != nil }

  func lastPlace(of packet: Fingerprint) -> Int? { items.lastIndex { $0.packet == packet } }
}
#endif
