import NIOCore
import Synchronization

/// Why an ``Outbox`` took nothing.
package enum OutboxRefusal: Error, Sendable {
  /// The outbox was closed, or is finishing.
  case closed
  /// The task was cancelled while it waited for room.
  case cancelled
}

/// What tasks send on one channel, bounded in bytes.
///
/// A sender waits while `limit` bytes or more are queued or with the channel; then its packet is taken, whatever its
/// size. So at most `limit` and one packet is held for all senders together, and any legal packet fits.
///
/// What is queued while a write is under way leaves in one write: senders that are quicker than the socket share its
/// system calls.
package final class Outbox: Sendable {
  private typealias Sender = CheckedContinuation<OutboxRefusal?, Never>

  private struct State {
    var queue = FrameQueue()
    /// The cost of what is queued, with the channel, or promised to a sender that waited.
    var bytes = 0
    /// A write was asked of the event loop, or is with the channel.
    var isWriting = false
    var isClosed = false
    var failure: IOError?
    var senders = Waiters<OutboxRefusal?>()

    /// The senders for whom there is room now.
    mutating func admit(below limit: Int) -> [Sender] {
      var admitted: [Sender] = []
      while bytes < limit, let sender = senders.popFirst() {
        bytes += sender.cost
        admitted.append(sender.continuation)
      }
      return admitted
    }
  }

  private let state = Mutex(State())
  private let channel: any Channel
  private let limit: Int

  package init(channel: any Channel, limit: Int) {
    self.channel = channel
    self.limit = limit
  }

  /// What is queued, with the channel or promised costs together.
  package var bytes: Int { state.withLock { $0.bytes } }

  /// Why the first write failed, where one did: NIO tells nobody else before it closes the channel.
  package var failure: IOError? { state.withLock { $0.failure } }

  /// Queues one packet: `header` writes what goes before `data`. Returns once it is queued, not once it is sent.
  package func send(header: (inout ByteBuffer) -> Void, data: ByteBuffer) async throws(OutboxRefusal) {
    let cost = data.readableBytes + Limits.packetOverhead
    if let refusal = await reserve(cost) { throw refusal }
    let (isQueued, starts) = state.withLock { state -> (Bool, Bool) in
      guard !state.isClosed else { return (false, false) }
      state.queue.append(header: header, data: data, cost: cost)
      defer { state.isWriting = true }
      return (true, !state.isWriting)
    }
    guard isQueued else { throw .closed }
    if starts { channel.eventLoop.execute { self.write() } }
  }

  /// Takes nothing more, writes what is queued and shuts the sending side down. Returns when the kernel has it all.
  package func finish() async throws(OutboxRefusal) {
    refuse()
    let channel = channel
    let finished = channel.eventLoop.flatSubmit {
      let frames = self.state.withLock { $0.queue.takeAll() }
      for buffer in frames.buffers { channel.write(buffer, promise: nil) }
      channel.flush()
      return channel.close(mode: .output)
    }
    do {
      try await finished.get()
    } catch ChannelError.outputClosed {
      // Finished before: there is nothing left to do.
    } catch {
      throw .closed
    }
  }

  /// Takes nothing more, and drops what is queued.
  package func close() {
    refuse()
    _ = state.withLock { $0.queue.takeAll() }
  }

  private func refuse() {
    let senders = state.withLock { state in
      state.isClosed = true
      return state.senders.removeAll()
    }
    for sender in senders { sender.resume(returning: .closed) }
  }

  /// Waits for room for `cost` bytes; nil once they are promised to the caller.
  private func reserve(_ cost: Int) async -> OutboxRefusal? {
    let isPromised = state.withLock { state in
      guard !state.isClosed, state.senders.isEmpty, state.bytes < limit else { return false }
      state.bytes += cost
      return true
    }
    if isPromised { return nil }
    let id = WaiterID()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in wait(id, cost: cost, continuation) }
    } onCancel: {
      state.withLock { $0.senders.cancel(id) }?.resume(returning: .cancelled)
    }
  }

  private func wait(_ id: WaiterID, cost: Int, _ continuation: Sender) {
    let (refusal, admitted) = state.withLock { state -> (OutboxRefusal?, [Sender]) in
      if state.isClosed { return (.closed, []) }
      if !state.senders.append(id, cost: cost, continuation) { return (.cancelled, []) }
      // Room may have been made since the caller looked.
      return (nil, state.admit(below: limit))
    }
    if let refusal { continuation.resume(returning: refusal) }
    for sender in admitted { sender.resume(returning: nil) }
  }

  /// On the event loop: hands the channel all that is queued.
  private func write() {
    let frames = state.withLock { $0.queue.takeAll() }
    guard let last = frames.buffers.last else {
      wrote(cost: 0)
      return
    }
    for buffer in frames.buffers.dropLast() { channel.write(buffer, promise: nil) }
    channel.writeAndFlush(last).whenComplete { result in
      if case .failure(let error as IOError) = result { self.failed(error) }
      self.wrote(cost: frames.cost)
    }
  }

  private func failed(_ error: IOError) {
    state.withLock { $0.failure = $0.failure ?? error }
  }

  /// On the event loop: the channel is done with `cost` bytes; written or lost, they take no memory any more.
  private func wrote(cost: Int) {
    let (admitted, continues) = state.withLock { state -> ([Sender], Bool) in
      state.bytes -= cost
      state.isWriting = !state.queue.isEmpty
      return (state.admit(below: limit), state.isWriting)
    }
    for sender in admitted { sender.resume(returning: nil) }
    // Not called directly: writes that complete at once would nest without end.
    if continues { channel.eventLoop.execute { self.write() } }
  }
}
