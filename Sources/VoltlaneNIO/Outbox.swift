import NIOCore
import Synchronization

/// Why an ``Outbox`` took nothing.
package enum OutboxRefusal: Error, Sendable {
  /// The outbox was closed, or is finishing.
  case closed
  /// The task was cancelled while it waited for room.
  case cancelled
}

/// What became of a packet that was offered to an ``Outbox``.
package enum OutboxOffer: Sendable {
  case taken
  /// There is no room for it just now.
  case full
  /// The outbox was closed, or is finishing.
  case closed
}

/// What tasks send on a channel, bounded in bytes. It may outlive its channel and go on with the next one.
///
/// Where `limit` bytes or more are queued or with the channel, a sender waits until that is half as much; then its
/// packet is taken, whatever its size. So at most `limit` and one packet is held for all senders together, and any
/// legal packet fits. While there is no channel the same holds, and nothing leaves.
///
/// What is queued while a write is under way leaves in one write: senders that are quicker than the socket share its
/// system calls.
package final class Outbox: Sendable {
  private typealias Sender = CheckedContinuation<OutboxRefusal?, Never>

  private struct State {
    var channel: (any Channel)?
    var queue = FrameQueue()
    /// With the channel, and not known to be with the kernel.
    var inFlight = CircularBuffer<Frames>()
    /// The cost of what is queued, in flight, or promised to a sender that waited.
    var bytes = 0
    /// A write was asked of the event loop, or is with the channel.
    var isWriting = false
    /// Nothing more is taken.
    var isRefusing = false
    /// After what is queued, the sending side is to be shut down.
    var isFinishing = false
    /// The kernel has it all, and the sending side is shut down.
    var hasFinished = false
    var isClosed = false
    var failure: IOError?
    var senders = Waiters<OutboxRefusal?>()
    var finishers = Waiters<OutboxRefusal?>()

    /// The senders for whom there is room now: those who wait, wait until half of it is free. To wake one for every
    /// write made a sender on the main thread several times slower than one elsewhere.
    mutating func admit(below limit: Int) -> [Sender] {
      guard bytes <= limit / 2 else { return [] }
      var admitted: [Sender] = []
      while bytes < limit, let sender = senders.popFirst() {
        bytes += sender.cost
        admitted.append(sender.continuation)
      }
      return admitted
    }

    /// The channel on which a write has to be asked for; nil where one is under way, or nothing can be written.
    mutating func startWriting() -> (any Channel)? {
      guard !isWriting, !isClosed, let channel else { return nil }
      isWriting = true
      return channel
    }
  }

  private let state = Mutex(State())
  private let limit: Int

  package init(channel: (any Channel)? = nil, limit: Int) {
    self.limit = limit
    if let channel { attach(channel) }
  }

  /// What is queued, with the channel or promised costs together.
  package var bytes: Int { state.withLock { $0.bytes } }

  /// Why the first write on this channel failed, where one did: NIO tells nobody else before it closes the channel.
  package var failure: IOError? { state.withLock { $0.failure } }

  /// What leaves, leaves here.
  package var channel: (any Channel)? { state.withLock { $0.channel } }

  /// ``finish()`` has done all of its work.
  package var hasFinished: Bool { state.withLock { $0.hasFinished } }

  /// Sends on `channel` from now on, and what is queued first.
  package func attach(_ channel: any Channel) {
    let writes = state.withLock { state -> Bool in
      guard !state.isClosed else { return false }
      state.channel = channel
      state.failure = nil
      return (!state.queue.isEmpty || state.isFinishing) && state.startWriting() != nil
    }
    if writes { ask(channel) }
  }

  /// The channel has become inactive, which is said on its event loop. What was not begun waits for the next channel.
  ///
  /// Of what was with the channel, packets that share a buffer are dropped where that buffer was the one under way:
  /// some of them may have gone, and none must go twice. A packet with a buffer of its own did not go whole, or the
  /// channel would have said so: it is sent again, whole.
  package func detach() {
    let admitted = state.withLock { state -> [Sender] in
      state.channel = nil
      state.isWriting = false
      if let first = state.inFlight.first, first.packetCount > 1 {
        state.bytes -= first.cost
        state.inFlight.removeFirst()
      }
      state.queue.prepend(state.inFlight)
      state.inFlight.removeAll()
      return state.admit(below: limit)
    }
    for sender in admitted { sender.resume(returning: nil) }
  }

  /// Queues one packet where there is room: `header` writes what goes before `data`. Where that is more than a size and
  /// a tag, `headerCount` says how many bytes.
  package func offer(
    header: (inout ByteBuffer) -> Void, headerCount: Int = 0, data: ByteBuffer
  ) -> OutboxOffer {
    let cost = data.readableBytes + headerCount + Limits.packetOverhead
    let (offer, channel) = state.withLock { state -> (OutboxOffer, (any Channel)?) in
      if state.isRefusing { return (.closed, nil) }
      guard state.senders.isEmpty, state.bytes < limit else { return (.full, nil) }
      state.bytes += cost
      state.queue.append(header: header, headerCount: headerCount, data: data, cost: cost)
      return (.taken, state.startWriting())
    }
    if let channel { ask(channel) }
    return offer
  }

  /// Queues one packet: `header` writes what goes before `data`. Returns once it is queued, not once it is sent; where
  /// there is room that is at once, on the caller's thread.
  package nonisolated(nonsending) func send(
    header: (inout ByteBuffer) -> Void, headerCount: Int = 0, data: ByteBuffer
  ) async throws(OutboxRefusal) {
    switch offer(header: header, headerCount: headerCount, data: data) {
    case .taken: return
    case .closed: throw .closed
    case .full: break
    }
    let cost = data.readableBytes + headerCount + Limits.packetOverhead
    if let refusal = await reserve(cost) { throw refusal }
    let (isQueued, channel) = state.withLock { state -> (Bool, (any Channel)?) in
      guard !state.isRefusing else { return (false, nil) }
      state.queue.append(header: header, headerCount: headerCount, data: data, cost: cost)
      return (true, state.startWriting())
    }
    guard isQueued else { throw .closed }
    if let channel { ask(channel) }
  }

  /// Takes nothing more, writes what is queued and shuts the sending side down. Returns when the kernel has it all;
  /// where the channel ends before, on the next one.
  package nonisolated(nonsending) func finish() async throws(OutboxRefusal) {
    let (senders, channel) = state.withLock { state in
      state.isRefusing = true
      state.isFinishing = true
      return (state.senders.removeAll(), state.startWriting())
    }
    for sender in senders { sender.resume(returning: .closed) }
    if let channel { ask(channel) }
    if let refusal = await waitUntilFinished() { throw refusal }
  }

  /// Takes nothing more, and drops what is queued.
  package func close() {
    let waiting = state.withLock { state in
      state.isRefusing = true
      state.isClosed = true
      state.channel = nil
      state.bytes = 0
      _ = state.queue.takeAll()
      state.inFlight.removeAll()
      return state.senders.removeAll() + state.finishers.removeAll()
    }
    for task in waiting { task.resume(returning: .closed) }
  }

  // MARK: - Waiting

  /// Waits for room for `cost` bytes; nil once they are promised to the caller.
  private nonisolated(nonsending) func reserve(_ cost: Int) async -> OutboxRefusal? {
    let id = WaiterID()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in wait(id, cost: cost, continuation) }
    } onCancel: {
      state.withLock { $0.senders.cancel(id) }?.resume(returning: .cancelled)
    }
  }

  private func wait(_ id: WaiterID, cost: Int, _ continuation: Sender) {
    let (refusal, admitted) = state.withLock { state -> (OutboxRefusal?, [Sender]) in
      if state.isRefusing { return (.closed, []) }
      if !state.senders.append(id, cost: cost, continuation) { return (.cancelled, []) }
      // Room may have been made since the caller looked.
      return (nil, state.admit(below: limit))
    }
    if let refusal { continuation.resume(returning: refusal) }
    for sender in admitted { sender.resume(returning: nil) }
  }

  private nonisolated(nonsending) func waitUntilFinished() async -> OutboxRefusal? {
    let id = WaiterID()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: Sender) in
        let outcome = state.withLock { state -> OutboxRefusal?? in
          if state.hasFinished { return .some(nil) }
          if state.isClosed { return .closed }
          return state.finishers.append(id, continuation) ? nil : .cancelled
        }
        if let outcome { continuation.resume(returning: outcome) }
      }
    } onCancel: {
      state.withLock { $0.finishers.cancel(id) }?.resume(returning: .cancelled)
    }
  }

  // MARK: - On the event loop

  /// Never called directly: writes that complete at once would nest without end.
  private func ask(_ channel: any Channel) {
    channel.eventLoop.execute { self.write(on: channel) }
  }

  /// Hands the channel all that is queued.
  private func write(on channel: any Channel) {
    let (frames, finishes) = state.withLock { state -> ([Frames], Bool) in
      // What is not handed to a channel that has ended is not in doubt.
      guard state.channel === channel, channel.isActive else { return ([], false) }
      let frames = state.queue.takeAll()
      state.inFlight.append(contentsOf: frames)
      state.isWriting = !frames.isEmpty || state.isFinishing
      return (frames, frames.isEmpty && state.isFinishing)
    }
    for frame in frames {
      if let data = frame.data {
        channel.write(frame.buffer, promise: nil)
        write(data, on: channel)
      } else {
        write(frame.buffer, on: channel)
      }
    }
    if !frames.isEmpty { channel.flush() }
    if finishes { shutDown(channel) }
  }

  /// Writes the last buffer of a frame.
  private func write(_ buffer: ByteBuffer, on channel: any Channel) {
    channel.write(buffer).whenComplete { result in
      switch result {
      case .success: self.wrote(on: channel)
      // It stays in flight: the channel ends now.
      case .failure(let error): if let error = error as? IOError { self.failed(error, on: channel) }
      }
    }
  }

  private func failed(_ error: IOError, on channel: any Channel) {
    state.withLock { if $0.channel === channel { $0.failure = $0.failure ?? error } }
  }

  /// The kernel has the first frame that was in flight.
  private func wrote(on channel: any Channel) {
    let (admitted, continues) = state.withLock { state -> ([Sender], Bool) in
      guard state.channel === channel, let frame = state.inFlight.popFirst() else { return ([], false) }
      state.bytes -= frame.cost
      let continues = state.inFlight.isEmpty && (!state.queue.isEmpty || state.isFinishing)
      state.isWriting = continues || !state.inFlight.isEmpty
      return (state.admit(below: limit), continues)
    }
    for sender in admitted { sender.resume(returning: nil) }
    if continues { ask(channel) }
  }

  private func shutDown(_ channel: any Channel) {
    channel.close(mode: .output).whenSuccess {
      let finishers = self.state.withLock { state -> [Sender] in
        guard state.channel === channel else { return [] }
        state.hasFinished = true
        return state.finishers.removeAll()
      }
      for finisher in finishers { finisher.resume(returning: nil) }
    }
  }
}
