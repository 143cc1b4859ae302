import Glibc
import VoltlaneWire

/// What happens to packets that are under way, and to clients, when the backend's connection is lost.
extension Firehose where K: ~Copyable {
  /// Drops an unfinished packet from the backend. The packet that the backend got in part is sent whole on the next
  /// connection. Clients notice nothing, unless `--backend-loss` says that they are dropped with the backend.
  @inline(never)
  mutating func lose(_ error: Int32, _ kernel: inout K) {
    guard state != .proving else { return failProbation(.closedEarly(errno: error), &kernel) }
    let isTheEnd = settings.backendLoss == .exit
    let isYoung = kernel.now - connectedAt < Limits.dialStable
    let count = isYoung && !isTheEnd ? failures.countToLog(.shortLived(errno: error), now: kernel.now) : 1
    isFlapping = count == nil
    events.post(.backendLost(errno: error, isDialledAgain: !isTheEnd, count: count), &kernel)
    closeSocket(&kernel)
    giveUpMulticast()
    read = parsed
    if !isYoung {
      // After a standstill of the thread, the deadline for this may have passed without having been handled.
      becomeStable(&kernel)
    } else if hasSpoken, error != EPROTO {
      shortenProbation()
      lossTimeLeft = .max
    } else {
      lengthenProbation(&kernel)
    }
    for lane in 0..<lanes.count {
      if lanes[lane].uplink.sentOfHead > 0 { suspectPacket(in: lane, isYoung: isYoung, &kernel) }
      lanes[lane].uplink.connectionLost()
    }
    switch settings.backendLoss {
    case .hold:
      startLossTimer(kernel.now, min(settings.backendLossTimeout, lossTimeLeft))
    case .drop:
      dropSessions(&kernel)
    case .exit:
      dropSessions(&kernel)
      control.requestExit()
    }
    if isTheEnd { state = .done } else { waitToDial(&kernel) }
  }

  /// Sessions are held for this long from now on, if `--backend-loss` is `hold`.
  mutating func startLossTimer(_ now: UInt64, _ time: UInt64) {
    dropDeadline = settings.backendLoss == .hold ? now.adding(time) : .max
  }

  /// Ends every session, and has new clients refused until the backend is back.
  @inline(never)
  mutating func dropSessions(_ kernel: inout K) {
    dropDeadline = .max
    events.post(.sessionsDropped, &kernel)
    backendStatus.dropSessions()
    wakeShards(&kernel)
  }

  func wakeShards(_ kernel: inout K) {
    for lane in 0..<lanes.count { lanes[lane].bell.wake(&kernel) }
  }

  // MARK: A packet that the backend cannot take

  /// The connection died within a packet. If two connections die within the same packet, it is given up and its client
  /// is ended, so that one packet cannot stop everybody.
  private mutating func suspectPacket(in lane: Int, isYoung: Bool, _ kernel: inout K) {
    let position = lanes[lane].uplink.headPosition
    guard let suspect, suspect == (lane, position), refusedClient == nil else {
      suspect = (lane, position)
      // If the backend never sent anything, the packet may not be the cause: the next connection first has to last
      // without it.
      if isYoung, !hasSpoken { probation = Limits.probationLongest }
      return
    }
    self.suspect = nil
    let tag = lanes[lane].uplink.dropPacketAtHead()
    if lanes[lane].uplink.release() { lanes[lane].bell.wake(&kernel) }
    counters.add(.packetsRefused)
    events.post(.packetRefused(id: tag.clientID), &kernel)
    switch tag.flag {
    case .data: refusedClient = tag.clientID
    // What the relay says about a session contains nothing from its client.
    case .failure, .reconnection: break
    // Only backends send kicks, so there is none in a lane.
    case .kick: break
    }
  }

  func refusalLane(_ id: UInt64) -> Int { min(ids.place(of: id).shard, lanes.count - 1) }

  mutating func canTellRefusal() -> Bool {
    guard let refusedClient else { return false }
    return lanes[refusalLane(refusedClient)].downlink.hasRoom()
  }

  /// Tells the shard to end the client, as soon as there is room.
  @inline(never)
  mutating func tellRefusal(_ kernel: inout K) {
    guard canTellRefusal(), let id = refusedClient else { return }
    let lane = refusalLane(id)
    // It refers to no bytes: its position is that of the next packet.
    lanes[lane].downlink.push(
      Descriptor(refused: id, slot: ids.place(of: id).slot, position: parsed + UInt64(Wire.tag)))
    refusedClient = nil
    if lanes[lane].downlink.publish() { lanes[lane].bell.wake(&kernel) }
  }
}
