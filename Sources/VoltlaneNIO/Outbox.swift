import NIOCore
import Synchronization

/// Why an ``Outbox`` did not accept a packet.
package enum OutboxRefusal: Error, Sendable {
  /// The outbox was closed, or is finishing.
  case closed
  /// The task was cancelled while it waited for room.
  case cancelled
}

/// What happened to a packet that was offered to an ``Outbox``.
package enum OutboxOffer: Sendable {
  case taken
  /// There is no room for it at the moment.
  case full
  /// The outbox was closed, or is finishing.
  case closed
}

/// What tasks send on a channel, bounded in bytes. It can outlive its channel and continue on the next one.
///
/// If `limit` bytes or more are queued or with the channel, a sender waits until only half of that remains; then its
/// packet is accepted, whatever its size. So at most `limit` plus one packet is held for all senders together, and any
/// legal packet fits. The same holds while there is no channel, except that nothing is sent.
///
/// Everything that is queued while a write is under way is sent in one write: senders that are faster than the socket
/// share its system calls.
package final class Outbox: Sendable {
  private typealias Sender = CheckedContinuation<OutboxRefusal?, Never>

  private struct State {
    var channel: (any Channel)?
    var queue = FrameQueue()
    /// With the channel, and not known to have reached the kernel.
    var inFlight = CircularBuffer<Frames>()
    /// The cost of what is queued, in flight, or promised to a sender that waited.
    var bytes = 0
    /// The event loop was asked to write, or a write is with the channel.
    var isWriting = false
    /// Nothing more is accepted.
    var isRefusing = false
    /// The sending side is to be shut down after everything that is queued.
    var isFinishing = false
    /// The kernel has it all, and the sending side is shut down.
    var hasFinished = false
    var isClosed = false
    var failure: IOError?
    var senders = Waiters<OutboxRefusal?>()
    var finishers = Waiters<OutboxRefusal?>()

    /// The senders for which there is room now: waiting senders wait until half of the limit is free. When one was
    /// woken for every write, a sender on the main thread was several times slower than one elsewhere.
    mutating func admit(below limit: Int) -> [Sender] {
      guard bytes <= limit / 2 else { return [] }
      var admitted: [Sender] = []
      while bytes < limit, let sender = senders.popFirst() {
        bytes += sender.cost
        admitted.append(sender.continuation)
      }
      return admitted
    }

    /// The channel on which to ask for a write; nil if one is under way, or nothing can be written.
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

  /// The cost of everything that is queued, with the channel, or promised.
  package var bytes: Int { state.withLock { $0.bytes } }

  /// Why the first write on this channel failed, if one did: NIO tells nobody else before it closes the channel.
  package var failure: IOError? { state.withLock { $0.failure } }

  /// The channel on which packets are sent.
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

  /// The channel has become inactive; called on its event loop. Whatever was not begun waits for the next channel.
  ///
  /// Of what was with the channel, packets that share a buffer are dropped if that buffer was being written: some of
  /// them may have been sent, and none may be sent twice. A packet with a buffer of its own was not sent whole, or the
  /// channel would have said so; it is sent again, whole.
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

  /// Queues one packet if there is room: `header` writes what precedes `data`. If that is more than a size and a tag,
  /// `headerCount` says how many bytes.
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

  /// Queues one packet: `header` writes what precedes `data`. Returns once it is queued, not once it is sent; if there
  /// is room, that is immediately, on the caller's thread.
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

  /// Accepts nothing more, writes what is queued and shuts the sending side down. Returns when the kernel has all of
  /// it; if the channel ends before that, the next one continues.
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

  /// Accepts nothing more, and drops what is queued.
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
      // Whatever the ended channel was not given is not in doubt.
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
      // It stays in flight, because the channel ends now.
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
