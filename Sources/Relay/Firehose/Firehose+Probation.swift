import Glibc
import VoltlaneWire

/// A connection does not yet mean a backend: a proxy in front of it may accept the connection, and end it when it finds
/// no backend behind. Anything sent before that is lost. So a new connection is on probation: nothing is sent on it,
/// and sessions are held as they are without a backend. It has proved itself once a well-formed packet has arrived on
/// it, or once it has stood for a while without one, because a backend need not say anything.
///
/// How long that takes is learnt. A tenth of a second exposes most proxies, because their own dial fails at once. If a
/// connection died young without a word, the next one has to stand twice as long as that one did, at most 6 s. It is a
/// tenth of a second again once a connection has lived for 10 s, has said something, or has lasted for twice that long
/// and then died all the same; or once several dials in a row were refused, because then it is the listener itself that
/// comes and goes, with nothing in front of it.
extension Firehose where K: ~Copyable {
  /// The dial has led to a connection.
  @inline(never)
  mutating func beginProbation(_ kernel: inout K) {
    state = .proving
    connectedAt = kernel.now
    hasSpoken = false
    // While the relay shuts down there is little time, and what is queued gets no second chance.
    deadline = kernel.now + (control.phase == .running ? probation : Limits.probationFirst)
    readable = true
    kernel.submit(.pollReadable(socket), Token(.firehoseReadable, generation: generation))
  }

  /// Checks whether the connection has ended or a packet has arrived.
  @inline(never)
  mutating func prove(_ kernel: inout K) {
    guard canReceive(), receiveOnce(&kernel) else { return }
    while read &- parsed >= UInt64(Wire.sizePrefix) {
      let packet = memory[parsed]
      let size = Int(UInt32(littleEndian: packet.loadUnaligned(as: UInt32.self)))
      guard size <= settings.maxTaggedPacket &+ Multicast.mostOverhead else {
        return failProbation(.noBackend, &kernel)
      }
      guard read &- parsed >= UInt64(Wire.sizePrefix + min(size, Wire.tag)) else { return }
      if size > settings.maxTaggedPacket, !isMulticast(at: parsed) { return failProbation(.noBackend, &kernel) }
      if size >= Wire.tag, isBackends(at: parsed) {
        hasSpoken = true
        trust(&kernel)
        _ = cutPackets(&kernel)
        return
      }
      guard read &- parsed >= UInt64(Wire.sizePrefix + size) else { return }
      skip(size, &kernel)
    }
  }

  /// Whether the packet at `position`, whose tag has been read, has the flag of one that backends send.
  private func isBackends(at position: UInt64) -> Bool {
    let tag = memory.data(of: memory[position], Wire.tag)
    if Tag(tag, from: .backend) != nil { return true }
    switch ExtensionFlag(rawValue: tag.byte(at: Wire.clientID)) {
    case .volatile, .multicast: return true
    case .away, .address, nil: return false
    }
  }

  /// The probation's time is up.
  @inline(never)
  mutating func endProbation(_ kernel: inout K) {
    // The connection may have ended unnoticed while the thread stood still.
    prove(&kernel)
    guard state == .proving else { return }
    if readable {
      deadline = kernel.now + Limits.millisecond
    } else {
      trust(&kernel)
    }
  }

  /// As far as can be told, it is a backend: from now on it is sent what waits for it.
  private mutating func trust(_ kernel: inout K) {
    backendStatus.connectedSince = kernel.machineNow
    state = .connected
    deadline = connectedAt + Limits.dialStable
    counters.add(.backendConnections)
    events.post(.backendConnected(isRepeated: isFlapping), &kernel)
    backendStatus.refusesClients = false
    lossTimeLeft = dropDeadline == .max ? .max : dropDeadline - min(dropDeadline, kernel.now)
    dropDeadline = .max
    watchBackend(kernel.now)
    if hasConnected, settings.announces { beginSweep(&kernel) }
    hasConnected = true
  }

  /// The connection has lived long enough to count as stable: what was learnt from earlier ones no longer matters.
  @inline(never)
  mutating func becomeStable(_ kernel: inout K) {
    dialDelay = Limits.dialDelayFirst
    shortenProbation()
    lossTimeLeft = .max
    failures.forget()
    // Its beginning was not logged.
    if isFlapping { events.post(.backendConnected(isRepeated: false), &kernel) }
    isFlapping = false
  }

  /// It was not a backend. This is treated as a dial that failed.
  @inline(never)
  mutating func failProbation(_ failure: BackendFailure, _ kernel: inout K) {
    counters.add(.backendsClosedEarly)
    read = parsed
    lengthenProbation(&kernel)
    dialFailed(failure, &kernel)
  }

  /// The connection died young, and never sent a byte: there may have been no backend behind it.
  mutating func lengthenProbation(_ kernel: inout K) {
    if state == .connected, probation > Limits.probationFirst, probation >= 2 * shortLife {
      // It lived much longer than those that lengthened the probation, so there is no such pattern.
      shortLife = 0
      probation = Limits.probationFirst
      return
    }
    shortLife = max(shortLife, kernel.now - connectedAt)
    probation = max(probation, min(2 * shortLife, Limits.probationGrowth * probation, Limits.probationLongest))
  }

  mutating func shortenProbation() {
    shortLife = 0
    probation = Limits.probationFirst
  }
}
