import NIOCore
import Synchronization
import VoltlaneNIO

/// What all connections of one backend share: the queue of events, and which connection is current.
final class Intake: Sendable {
  let inbox: Inbox<BackendEvent, Never>
  let refused = Counter()
  private let loop: any EventLoop
  private let finishing: TimeAmount
  private let succession: NIOLoopBoundBox<Succession>
  private let current = Mutex<Outbox?>(nil)

  init(loop: any EventLoop, finishing: TimeAmount) {
    self.loop = loop
    self.finishing = finishing
    let succession = NIOLoopBoundBox.makeBoxSendingValue(Succession(), eventLoop: loop)
    self.succession = succession
    inbox = Inbox(limit: BackendLimits.queue) {
      loop.execute { succession.value.current?.read() }
    }
  }

  /// What is sent goes here; nil while no connection is current.
  var outbox: Outbox? { current.withLock { $0 } }

  // MARK: On the event loop

  func accepted(_ firehose: FirehoseHandler) {
    if let oldest = succession.value.append(firehose) { oldest.close(.replaced) }
    firehose.read()
    advance()
  }

  /// A connection that waits has sent its first bytes.
  func spoke() {
    finishCurrent()
  }

  func ended(_ firehose: FirehoseHandler) {
    if succession.value.current === firehose { current.withLock { $0 = nil } }
    succession.value.remove(firehose)
    advance()
  }

  func emit(_ events: [BackendEvent]) {
    inbox.append(events.map { ($0, $0.cost) })
  }

  /// Makes the next connection current, where there is none.
  private func advance() {
    guard let next = succession.value.advance() else { return }
    current.withLock { $0 = next.outbox }
    next.begin(number: succession.value.begun)
    finishCurrent()
  }

  /// Discards the current connection where it does not end by itself while another one wants to be read: when nothing
  /// has come of it for a while, although it was read.
  private func finishCurrent() {
    guard let current = succession.value.current, succession.value.isAwaited else { return }
    let readBefore = current.byteCount
    loop.assumeIsolated().scheduleTask(in: finishing) { [weak current] in
      guard let current, self.succession.value.current === current else { return }
      // While the consumer lags nothing could be read of it, nor could anything be read of the next one.
      if current.byteCount == readBefore && !self.inbox.isPaused {
        current.close(.replaced)
      } else {
        self.finishCurrent()
      }
    }
  }

  // MARK: From anywhere

  func stop() async {
    let closed = loop.flatSubmit {
      self.succession.value.isStopped = true
      let firehoses = self.succession.value.all
      for firehose in firehoses { firehose.close(.stopped) }
      return EventLoopFuture.andAllComplete(firehoses.map(\.channel.closeFuture), on: self.loop)
    }
    try? await closed.get()
    inbox.finish()
  }
}
