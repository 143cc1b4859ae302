import Glibc
import VoltlaneWire

/// The backend's connection is lost: what that means for the packets under way and for the clients.
extension Firehose where K: ~Copyable {
  /// An unfinished packet of the backend's is dropped; the packet that was handed over in part will be sent whole on
  /// the next connection. Clients notice nothing, unless they are to be dropped with the
  /// backend.
  @inline(never)
  mutating func lose(_ error: Int32, _ kernel: inout K) {
    guard state != .proving else { return failProbation(.closedEarly(errno: error), &kernel) }
    let isTheEnd = settings.backendLoss == .exit
    let isYoung = kernel.now - connectedAt < Limits.dialStable
    let count = isYoung && !isTheEnd ? failures.admit(.shortLived(errno: error), now: kernel.now) : 1
    isFlapping = count == nil
    events.post(.backendLost(errno: error, isDialledAgain: !isTheEnd, count: count), &kernel)
    closeSocket(&kernel)
    giveUpMulticast()
    read = parsed
    if !isYoung {
      // Where the clock ran on after the thread had stood still, nobody has said so yet.
      settle(&kernel)
    } else if hasSpoken, error != EPROTO {
      shortenProbation()
      lossTimeLeft = .max
    } else {
      lengthenProbation(&kernel)
    }
    for lane in 0..<lanes.count {
      if lanes[lane].uplink.handed > 0 { suspectPacket(in: lane, isYoung: isYoung, &kernel) }
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

  /// Sessions are held for this long from now on, where they are held.
  mutating func startLossTimer(_ now: UInt64, _ time: UInt64) {
    dropDeadline = settings.backendLoss == .hold ? now.adding(time) : .max
  }

  /// Ends every session, and refuses newcomers until the backend is back.
  @inline(never)
  mutating func dropSessions(_ kernel: inout K) {
    dropDeadline = .max
    events.post(.sessionsDropped, &kernel)
    backendStatus.dropSessions()
    wakeShards(&kernel)
  }

  func wakeShards(_ kernel: inout K) {
    for lane in 0..<lanes.count where lanes[lane].bell.takeSleep() { kernel.ring(lanes[lane].bell) }
  }

  // MARK: A packet that the backend refuses

  /// The connection died within a packet. Where two died within the same one, it is given up and its client ended, so
  /// that one packet can't stop everybody.
  private mutating func suspectPacket(in lane: Int, isYoung: Bool, _ kernel: inout K) {
    let position = lanes[lane].uplink.headPosition
    guard let suspect, suspect == (lane, position), refusedClient == nil else {
      suspect = (lane, position)
      // If it never said a word, it may not have been the packet: the next one has to show that it lasts without it.
      if isYoung, !hasSpoken { probation = Limits.probationLongest }
      return
    }
    self.suspect = nil
    let tag = lanes[lane].uplink.dropPacketAtHead()
    if lanes[lane].uplink.release(), lanes[lane].bell.takeSleep() { kernel.ring(lanes[lane].bell) }
    counters.add(.packetsRefused)
    events.post(.packetRefused(id: tag.clientID), &kernel)
    switch tag.flag {
    case .data: refusedClient = tag.clientID
    // What the relay says of a session holds nothing of its client's.
    case .failure, .reconnection: break
    // The backend's, of which none is in a lane.
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
    // It stands for no bytes: its place is where the next packet's would be.
    lanes[lane].downlink.push(
      Descriptor(refused: id, slot: ids.place(of: id).slot, position: parsed + UInt64(Wire.tag)))
    refusedClient = nil
    if lanes[lane].downlink.publish(), lanes[lane].bell.takeSleep() { kernel.ring(lanes[lane].bell) }
  }
}
