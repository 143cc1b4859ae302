#if TESTABLE
import Glibc
@testable import Relay

/// A listening socket of one shard. If it is shared, each shard has a descriptor, and all have one queue.
final class Listener {
  let descriptor: Int32
  let shard: Int
  let isShared: Bool
  var armed: (host: Int, token: Token)?
  /// When the relay last had nobody accepted any more, as it does while it lacks descriptors.
  var cancelledAt: UInt64?
  /// Connections that nobody has accepted yet.
  var backlog: [Link] = []
  var shunned: Set<AddressKey> = []
  var isClosed = false
  /// The relay accepts nobody for a while: whoever connects is refused.
  var isDeaf = false

  init(descriptor: Int32, shard: Int, isShared: Bool) {
    self.descriptor = descriptor
    self.shard = shard
    self.isShared = isShared
  }
}

/// What the relay's kernel calls do.
extension World {
  // MARK: Completions

  func sleeps(_ host: Int, until deadline: UInt64) {
    hostStates[host].step = .asleep(until: deadline)
    hostStates[host].idleTurns = 0
    hostStates[host].fruitlessTurns = 0
  }
  func staysAwake(_ host: Int) { hostStates[host].step = .turn }
  func hasPosted(_ host: Int) -> Bool { !hostStates[host].posted.isEmpty }
  /// Sends complete as they start.
  func sendsUnderWay(_ host: Int) -> Int { 0 }

  func take(_ host: Int, into batch: inout [Completion]) {
    var count = min(hostStates[host].posted.count, Limits.completionsPerTurn)
    guard count > 0 else { return }
    if isHostile, count > 1, chance.happens(plan.odds.shortReaps) { count = chance.between(1, count) }
    batch += hostStates[host].posted.prefix(count)
    hostStates[host].posted.removeFirst(count)
    if isHostile, count > 1, chance.happens(plan.odds.disorder) {
      let index = chance.below(count - 1)
      // The completions of one operation stay in order.
      if batch[index].token != batch[index + 1].token { batch.swapAt(index, index + 1) }
    }
    for completion in batch {
      trace.mix(Int(truncatingIfNeeded: completion.token.bits) ^ Int(completion.result))
      let end = completion.more ? "" : " end"
      note("  <- \(completion.token.purpose) \(completion.token.index) \(completion.result)\(end)")
    }
  }

  /// Something has happened that an operation was waiting for: it completes now or later.
  func completeLater(_ host: Int, _ body: @escaping () -> Void) {
    if isHostile, chance.happens(plan.odds.lateCompletions) {
      schedule(now &+ chance.time(1000, 20_000_000), body)
    } else {
      body()
    }
  }

  /// Posts a completion. Returns whether a standing operation continues, which it does not if the queue is full.
  @discardableResult
  func post(_ host: Int, _ token: Token, _ result: Int32, isStanding: Bool = false) -> Bool {
    let goesOn =
      isStanding && hostStates[host].posted.count < plan.completionQueue
      && !(isHostile && chance.happens(plan.odds.endedStanding))
    hostStates[host].posted.append(Completion(token: token, result: result, more: goesOn))
    return goesOn
  }

  /// How many of that many submissions the kernel takes at once.
  func submissions(of count: Int) -> Int {
    guard isHostile, count > 0, chance.happens(plan.odds.shortSubmits) else { return count }
    return chance.below(count + 1)
  }

  func start(_ operation: KernelOperation, _ token: Token, _ host: Int, knowsFin: Bool) {
    operations += 1
    switch operation {
    case .accept(let descriptor):
      guard let listener = listeners.first(where: { $0.descriptor == descriptor && !$0.isClosed }) else {
        return fail("the relay accepts on \(descriptor), which is no listener")
      }
      if listener.armed != nil { return fail("the relay accepts twice on \(descriptor)") }
      listener.armed = (host, token)
      if listener.isDeaf { end(listener) } else { serve(listener) }
    case .pollReadable(let descriptor) where descriptor < 0:
      hostStates[host].controlIsWatched = true
    case .pollReadable(let descriptor):
      poll(descriptor, token, host, forRoom: false)
    case .pollWritable(let descriptor):
      poll(descriptor, token, host, forRoom: true)
    case .send(let descriptor, let bytes, let count):
      let sent = send(descriptor, UnsafeRawBufferPointer(start: bytes, count: count), knowsFin: knowsFin)
      if sent != count { post(host, token, Int32(sent)) }
    case .cancel(let target, _):
      cancel(target, host)
    case .close(let descriptor):
      close(descriptor)
    }
  }

  /// A poll may enter late, for a socket that was handed over to another shard meanwhile, which has closed it.
  private func poll(_ descriptor: Int32, _ token: Token, _ host: Int, forRoom: Bool) {
    guard let link = descriptors[Int(descriptor)] else {
      post(host, token, -EBADF)
      return
    }
    link.poll(token, host: host, forRoom: forRoom, serial: operations)
  }

  private func cancel(_ token: Token, _ host: Int) {
    note("  cancel \(token.purpose) \(token.index)")
    // Each host has its own tokens.
    for listener in listeners where listener.armed?.host == host && listener.armed?.token == token {
      listener.armed = nil
      listener.cancelledAt = now
      return canceled(token, host)
    }
    for link in sockets {
      guard let poll = link.cancel(token, host: host) else { continue }
      let isTooLate = poll.isOnItsWay && chance.oneIn(2)
      return isTooLate
        ? tooLate(token, poll.isForRoom ? Int32(POLLOUT) : link.pollBits, host) : canceled(token, host)
    }
  }

  private func canceled(_ token: Token, _ host: Int) { post(host, token, -ECANCELED) }

  /// What was to be cancelled has already happened.
  private func tooLate(_ token: Token, _ result: Int32, _ host: Int) { post(host, token, result) }

  /// The kernel ends all standing operations, as it may when it is short of memory.
  func endStandingOperations(_ errno: Int32) {
    note("standing operations end")
    for link in sockets {
      for poll in link.takeStandingPolls() { post(poll.host, poll.token, -errno) }
    }
    for listener in listeners {
      guard let armed = listener.armed else { continue }
      listener.armed = nil
      post(armed.host, armed.token, -errno)
    }
    for host in hostStates.indices where hostStates[host].controlIsWatched {
      hostStates[host].controlIsWatched = false
      post(host, Token(.control), -errno)
    }
  }

  func wakeControlledHosts() {
    for host in hostStates.indices { post(host, Token(.control), 1, isStanding: true) }
  }

  func ring(_ descriptor: Int32, _ host: Int) {
    if isHostile, chance.happens(plan.odds.unheardBells) {
      post(host, Token(.unheardBell, index: UInt32(descriptor)), -ENOMEM)
    } else {
      note("  bell of \(descriptor)")
      post(Int(descriptor), Token(.bell), 0)
    }
  }

  // MARK: Sockets

  func link(_ descriptor: Int32) -> Link? {
    guard descriptors.indices.contains(Int(descriptor)), let link = descriptors[Int(descriptor)] else {
      fail("socket \(descriptor) is used, and is not open")
      return nil
    }
    return link
  }

  /// The lowest free descriptor, as in Linux; nil if there is none left.
  private func open(_ link: Link, limit: Int) -> Int32? {
    let free = descriptors.firstIndex { $0 == nil } ?? descriptors.count
    guard free < limit else { return nil }
    if free == descriptors.count { descriptors.append(link) } else { descriptors[free] = link }
    link.descriptor = Int32(free)
    return link.descriptor
  }

  private func close(_ descriptor: Int32) {
    note("  close \(descriptor)")
    if let listener = listeners.first(where: { $0.descriptor == descriptor }) {
      if listener.isClosed { fail("listener \(descriptor) is closed twice") }
      listener.isClosed = true
      if listener.armed != nil { fail("an accept keeps listener \(descriptor) open") }
      let others = listener.isShared && listeners.contains { $0.isShared && !$0.isClosed }
      if !others { for link in listener.backlog { link.refuseConnection() } }
      if !others { listener.backlog = [] }
      return
    }
    guard let link = link(descriptor) else { return }
    descriptors[Int(descriptor)] = nil
    if link.peer !== backend { passages += 1 }
    link.closeByRelay()
    if link.isHeldOpen { heldOpen.append(link) }
  }

  /// Links with a descriptor, and those that a poll keeps open without one.
  private var sockets: [Link] {
    heldOpen.removeAll { !$0.isHeldOpen }
    return descriptors.compactMap { $0 } + heldOpen
  }

  var openSockets: Int { descriptors.count { $0 != nil } }

  // MARK: Getting in

  func connect(_ peer: any Peer, _ address: ClientAddress, shard: Int, chance: Chance) -> Link {
    links += 1
    let link = Link(self, links, peer, address, chance: chance)
    let isUnix = address == .none
    let candidates = listeners.filter { $0.isShared == isUnix }
    let listener = isUnix ? candidates[0] : candidates[shard % candidates.count]
    arrive(link, listener, tries: 0)
    return link
  }

  private func arrive(_ link: Link, _ listener: Listener, tries: Int) {
    let wait = tries == 0 ? link.latency : UInt64(1 << tries) * 500_000_000
    schedule(now &+ wait) { [self] in
      guard !link.peerClosed else { return }
      if listener.isClosed || listener.isDeaf { return link.refuseConnection() }
      if listener.shunned.contains(link.address.key) {
        if tries < 4 { arrive(link, listener, tries: tries + 1) }
        return
      }
      trace.mix(link.number)
      note("    \(link.name) connects to \(listener.descriptor)")
      listener.backlog.append(link)
      serve(listener)
    }
  }

  /// Stops to listen, as shutdown(2) does: whoever has not been accepted is refused, and an accept ends. Unix sockets
  /// go on.
  func stopListening() {
    for listener in listeners where !listener.isShared && !listener.isClosed {
      listener.isDeaf = true
      for link in listener.backlog { link.refuseConnection() }
      listener.backlog = []
      end(listener)
    }
  }

  /// Listens again, with new sockets in the places of the old ones: an accept that still waits on an old one never
  /// completes, except by its end, which came before.
  func listenAgain() {
    for listener in listeners where listener.isDeaf && !listener.isClosed { listener.isDeaf = false }
  }

  private func end(_ listener: Listener) {
    guard let armed = listener.armed else { return }
    listener.armed = nil
    post(armed.host, armed.token, -EINVAL)
  }

  /// Accepts as long as somebody is waiting and somebody accepts.
  func serve(_ listener: Listener) {
    while !listener.backlog.isEmpty {
      let takers = listener.isShared ? listeners.filter { $0.isShared && $0.armed != nil } : [listener]
      guard let taker = takers.randomElement(using: &chance), let armed = taker.armed else { return }
      if isHostile, chance.happens(plan.odds.acceptFailures) {
        taker.armed = nil
        post(armed.host, armed.token, -chance.pick([EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EINTR]))
        continue
      }
      guard let descriptor = open(listener.backlog[0], limit: plan.descriptors) else {
        taker.armed = nil
        post(armed.host, armed.token, -EMFILE)
        return
      }
      listener.backlog.removeFirst()
      passages += 1
      if !post(armed.host, armed.token, descriptor, isStanding: true) { taker.armed = nil }
    }
  }

  func shun(_ addresses: [AddressKey], at descriptor: Int32) -> Bool {
    guard let listener = listeners.first(where: { $0.descriptor == descriptor }) else { return false }
    listener.shunned = Set(addresses)
    return true
  }

  // MARK: Calls

  /// Each call takes time.
  func calls() {
    now &+= 1
    kernelCalls += 1
  }

  func noteCall(_ name: StaticString, _ socket: Int32, _ count: Int, _ result: Int) {
    trace.mix(Int(socket) &<< 32 ^ result)
    note("  \(name) \(socket)\(nameOf(socket)) \(count) = \(result)")
  }

  private func nameOf(_ socket: Int32) -> String {
    guard descriptors.indices.contains(Int(socket)), let link = descriptors[Int(socket)] else { return "" }
    return " (\(link.name))"
  }

  /// `knowsFin`: the relay had read the client's FIN when it asked for the send, which may have been long ago.
  func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer, knowsFin: Bool? = nil) -> Int {
    guard let link = link(socket) else { return -Int(EBADF) }
    let result = link.send(bytes)
    ledger.relayTriesToSend(link, bytes, result: result)
    if result > 0 {
      let taken = UnsafeRawBufferPointer(rebasing: bytes[0..<result])
      ledger.relaySent(link, taken, knowsFin: knowsFin ?? link.finRead)
    }
    noteCall("send", socket, bytes.count, result)
    return result
  }

  func refusesReceive() -> Int32? {
    guard isHostile, chance.happens(plan.odds.receiveRefusals) else { return nil }
    return chance.pick([ENOBUFS, ENOMEM, EINTR])
  }

  func refusesSend() -> Int32? {
    guard isHostile, chance.happens(plan.odds.sendRefusals) else { return nil }
    return chance.pick([ENOBUFS, ENOMEM, EINTR, EAGAIN])
  }

  // MARK: Dialling

  func resolve(_ token: Token, _ host: Int) {
    let time = isHostile && chance.happens(plan.odds.lookUpHangs) ? chance.time(1_000_000, 8_000_000_000) : 1000
    schedule(now &+ time) { [self] in
      if isHostile, chance.happens(plan.odds.lookUpFails) {
        lookUp = chance.oneIn(2) ? .unknownName : .failed(code: EAI_AGAIN, errno: 0)
        hasAddress = lookUp != .unknownName && chance.oneIn(2)
      } else {
        lookUp = .found
        hasAddress = true
      }
      post(host, token, 0, isStanding: true)
    }
  }

  func dial() -> Int32 {
    if isHostile, chance.happens(plan.odds.dialFailures) { return -chance.pick([EMFILE, ENOBUFS, ENETUNREACH]) }
    links += 1
    let link = Link(self, links, backend, .none, chance: Chance(seed, for: 1 << 32 + UInt64(links)))
    guard let descriptor = open(link, limit: .max) else { return -EMFILE }
    note("  dial \(descriptor)")
    backend.dialled(link)
    return descriptor
  }

  func dialResult(_ socket: Int32) -> DialResult {
    guard let link = link(socket) else { return .failed(errno: EBADF) }
    return link.dialResult
  }
}
#endif
