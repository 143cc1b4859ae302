import NIOCore
import Synchronization
import VoltlaneNIO

/// What all connections of one backend share: the queue of events, and which connection is current.
final class Intake: Sendable {
  let inbox: Inbox<BackendEvent, Never>
  let refused = Counter()
  private let loop: any EventLoop
  /// How precisely stops of the process are noticed.
  let stopResolution: TimeAmount?
  private let finishing: TimeAmount
  private let departed: NIOLoopBoundBox<Departed>
  private let ticking: NIOLoopBoundBox<RepeatedTask?>
  private let succession: NIOLoopBoundBox<Succession>
  private let current = Mutex<Outbox?>(nil)
  #if Logging || Metrics
  private let hooks: NIOLoopBoundBox<[any BackendHook]>
  #endif

  init(loop: any EventLoop, finishing: TimeAmount, stopResolution: TimeAmount?) {
    self.loop = loop
    self.finishing = finishing
    self.stopResolution = stopResolution
    #if Logging || Metrics
    hooks = .makeBoxSendingValue([], eventLoop: loop)
    #endif
    departed = .makeBoxSendingValue(Departed(), eventLoop: loop)
    ticking = .makeBoxSendingValue(nil, eventLoop: loop)
    let succession = NIOLoopBoundBox.makeBoxSendingValue(Succession(), eventLoop: loop)
    self.succession = succession
    inbox = Inbox(limit: BackendLimits.queue) {
      loop.execute { succession.value.current?.read() }
    }
    if let stopResolution {
      loop.execute {
        self.ticking.value = loop.scheduleRepeatedTask(initialDelay: stopResolution, delay: stopResolution) { _ in
          for firehose in succession.value.all { firehose.tick() }
        }
      }
    }
  }

  /// Where packets are sent; nil while no connection is current.
  var outbox: Outbox? { current.withLock { $0 } }

  // MARK: On the event loop

  func accepted(_ firehose: FirehoseHandler) {
    if let oldest = succession.value.append(firehose) { oldest.close(.replaced) }
    firehose.read()
    advance()
  }

  /// A waiting connection has sent its first packet.
  func spoke(_ firehose: FirehoseHandler) {
    finishCurrent()
  }

  /// Whether to report the failure of a client.
  func isNews(_ id: UInt64, _ reason: String) -> Bool {
    departed.value.isNews(id, reason: reason)
  }

  /// Strangers can cause as many warnings as they like, so these are reported only while there is room. False if there
  /// is none.
  @discardableResult
  func warn(_ warning: BackendWarning) -> Bool {
    guard inbox.bytes < BackendLimits.queue else { return false }
    emit([.warning(warning)])
    return true
  }

  func ended(_ firehose: FirehoseHandler) {
    if succession.value.current === firehose { current.withLock { $0 = nil } }
    succession.value.remove(firehose)
    advance()
  }

  func emit(_ events: [BackendEvent]) {
    put(events.map { ($0, $0.cost) }, arrival: .now())
  }

  func put(_ events: [(element: BackendEvent, cost: Int)], arrival: NIODeadline) {
    inbox.append(events, arrival: arrival)
    #if Logging || Metrics
    for hook in hooks.value { hook.note(events, waiting: inbox.bytes) }
    #endif
  }

  #if Logging || Metrics
  func add(_ hook: some BackendHook) { loop.execute { self.hooks.value.append(hook) } }
  #endif

  /// Makes the next connection current if there is none.
  private func advance() {
    guard let next = succession.value.advance() else { return }
    current.withLock { $0 = next.outbox }
    next.begin(number: succession.value.begun)
    finishCurrent()
  }

  /// Discards the current connection if it does not end by itself while another one is waiting to be read: when nothing
  /// has arrived on it for a while, although it was read.
  private func finishCurrent() {
    guard let current = succession.value.current, let newer = succession.value.awaited else { return }
    let readBefore = current.byteCount
    loop.assumeIsolated().scheduleTask(in: finishing) { [weak current] in
      guard let current, self.succession.value.current === current else { return }
      // While the consumer is behind, nothing could be read from this connection, nor from the next one.
      if current.byteCount == readBefore && !self.inbox.isPaused {
        if let firehose = current.firehose { self.warn(.replaced(firehose, by: newer.remoteAddress)) }
        current.close(.replaced)
      } else {
        if !newer.isWarnedOf { newer.isWarnedOf = self.warn(.secondRelay(from: newer.remoteAddress)) }
        self.finishCurrent()
      }
    }
  }

  // MARK: From anywhere

  func stop() async {
    let closed = loop.flatSubmit {
      self.succession.value.isStopped = true
      self.ticking.value?.cancel()
      let firehoses = self.succession.value.all
      for firehose in firehoses { firehose.close(.stopped) }
      return EventLoopFuture.andAllComplete(firehoses.map(\.channel.closeFuture), on: self.loop)
    }
    try? await closed.get()
    inbox.finish()
  }
}
