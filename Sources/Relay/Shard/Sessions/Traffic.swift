import VoltlaneWire

/// What has been carried for a session, and when last: for the operator, who asks what a client is doing. It is where
/// the packets' way passes anyway, in the session's connection.
struct Traffic: BitwiseCopyable {
  private(set) var packetsUp: UInt64 = 0
  private(set) var bytesUp: UInt64 = 0
  private(set) var packetsDown: UInt64 = 0
  /// With the packets' size prefixes, which saves an instruction a packet.
  private var framedBytesDown: UInt64 = 0
  private var lastCarried: Ticks

  init(at now: UInt64) { lastCarried = Ticks(now) }

  /// That of a session that goes on.
  init(_ kept: KeptTraffic, at now: UInt64) {
    packetsUp = kept.packetsUp.value
    bytesUp = kept.bytesUp.value
    packetsDown = kept.packetsDown.value
    framedBytesDown = kept.bytesDown.value &+ UInt64(Wire.sizePrefix) &* packetsDown
    lastCarried = Ticks(now)
  }

  var bytesDown: UInt64 { framedBytesDown &- UInt64(Wire.sizePrefix) &* packetsDown }

  /// A read brought packets of the client.
  @inline(__always)
  mutating func addUp(packets: Int, bytes: Int) {
    packetsUp &+= UInt64(truncatingIfNeeded: packets)
    bytesUp &+= UInt64(truncatingIfNeeded: bytes)
  }

  /// Packets for the client were delivered or kept for it.
  @inline(__always)
  mutating func addDown(packets: Int, framedBytes: Int) {
    packetsDown &+= UInt64(truncatingIfNeeded: packets)
    framedBytesDown &+= UInt64(truncatingIfNeeded: framedBytes)
  }

  /// Something has just arrived for the session, from either side.
  @inline(__always)
  mutating func noteCarried(at now: UInt64) { lastCarried = Ticks(now) }

  /// How long nothing has been carried.
  func idle(at now: UInt64) -> UInt64 { lastCarried.time(until: now) }
}

/// The same of a session without a connection, in as little memory as there is room for.
struct KeptTraffic: BitwiseCopyable {
  fileprivate(set) var packetsUp = PackedCount<4>()
  fileprivate(set) var packetsDown = PackedCount<4>()
  fileprivate(set) var bytesUp = PackedCount<5>()
  fileprivate(set) var bytesDown = PackedCount<5>()

  init() {}

  init(_ traffic: Traffic) {
    packetsUp.value = traffic.packetsUp
    packetsDown.value = traffic.packetsDown
    bytesUp.value = traffic.bytesUp
    bytesDown.value = traffic.bytesDown
  }

  /// A packet is kept for the client.
  mutating func addDown(bytes: Int) {
    packetsDown.value += 1
    bytesDown.value += UInt64(truncatingIfNeeded: bytes)
  }
}

/// A count in so many bytes, which stops at the highest that fits: 4 thousand million packets, or a terabyte.
struct PackedCount<let size: Int>: BitwiseCopyable {
  private var bytes = InlineArray<size, UInt8>(repeating: 0)

  var value: UInt64 {
    get {
      var value: UInt64 = 0
      for index in 0..<size { value |= UInt64(bytes[index]) << UInt64(8 * index) }
      return value
    }
    set {
      let value = min(newValue, 1 << UInt64(8 * size) - 1)
      for index in 0..<size { bytes[index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
    }
  }
}

/// A moment in ticks of the wheel, which is precise enough for people and takes half the memory. It is good for 18
/// years.
struct Ticks: BitwiseCopyable {
  private let count: UInt32

  @inline(__always)
  init(_ time: UInt64) { count = UInt32(truncatingIfNeeded: time >> Limits.wheelTickShift) }

  /// Nanoseconds from then until `now`, to within a tick.
  func time(until now: UInt64) -> UInt64 { UInt64(Ticks(now).count &- count) << Limits.wheelTickShift }
}
