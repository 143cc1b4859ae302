import Glibc

/// Dialling the backend, and dialling it again. The name is looked up each time. Delays grow from 50 ms on, with jitter
/// so that many relays do not come back in step, and are small again only after a connection has lived for 10 s.
extension Firehose where K: ~Copyable {
  @inline(never)
  mutating func beginDial(_ kernel: inout K) {
    state = .resolving
    lookUpTries = 1
    lookUp(&kernel)
  }

  private mutating func lookUp(_ kernel: inout K) {
    deadline = kernel.now + Limits.lookUpPatience
    kernel.resolve(Token(.resolved))
  }

  /// The look-up has not ended. A new one may find an entry that has appeared meanwhile, for example in the hosts file.
  @inline(never)
  mutating func lookUpHangs(_ kernel: inout K) {
    guard lookUpTries < Limits.lookUpTries else {
      return resolved(.failed(code: EAI_AGAIN, errno: 0), &kernel)
    }
    lookUpTries += 1
    tell(.lookUpHangs, &kernel)
    lookUp(&kernel)
  }

  /// The look-up has ended, or is still running. A backend is not lost because a name server is: without an answer, the
  /// relay keeps using the last one. It logs that, because somebody else may have the address by now. A name that no
  /// longer exists has no address.
  @inline(never)
  mutating func resolved(_ lookUp: LookUp, _ kernel: inout K) {
    switch lookUp {
    case .underWay: break
    case .failed(let code, let errno) where kernel.resolvedAddress(dialCount) == nil:
      dialFailed(.lookUp(code: code, errno: errno), &kernel)
    case .failed(let code, let errno):
      tell(.lookUpOfOld(code: code, errno: errno), &kernel)
      dial(&kernel)
    case .found, .unknownName: dial(&kernel)
    }
  }

  @inline(never)
  mutating func dial(_ kernel: inout K) {
    guard let address = kernel.resolvedAddress(dialCount) else { return dialFailed(.unresolved, &kernel) }
    dialCount += 1
    let result = kernel.dial(address)
    guard result >= 0 else { return dialFailed(result == -EDEADLK ? .listener : .dial(errno: -result), &kernel) }
    socket = result
    generation = (generation &+ 1) & Token.generationMask
    state = .dialing
    deadline = kernel.now + Limits.dialTimeout
    waitsForRoom = true
    kernel.submit(.pollWritable(socket), Token(.firehoseWritable, generation: generation))
  }

  /// The dialled socket has become writable: connected, or failed.
  @inline(never)
  mutating func dialled(_ kernel: inout K) {
    switch kernel.dialResult(socket) {
    case .connected: beginProbation(&kernel)
    case .failed(let errno): dialFailed(.dial(errno: errno), &kernel)
    case .itself:
      // A plain close would leave the backend's port in TIME-WAIT for a minute.
      kernel.reset(socket)
      dialFailed(.itself, &kernel)
    }
  }

  @inline(never)
  mutating func dialFailed(_ failure: BackendFailure, _ kernel: inout K) {
    counters.add(.backendDialsFailed)
    closeSocket(&kernel)
    refusals = failure == .dial(errno: ECONNREFUSED) ? refusals + 1 : 0
    if refusals >= Limits.refusalsOfAListener { shortenProbation() }
    tell(failure, &kernel)
    waitToDial(&kernel)
  }

  /// Logs a failure, but only now and then if it keeps happening.
  private mutating func tell(_ failure: BackendFailure, _ kernel: inout K) {
    guard let count = failures.countToLog(failure, now: kernel.now) else { return }
    events.post(.backendNotReached(failure, count: count), &kernel)
  }

  mutating func waitToDial(_ kernel: inout K) {
    state = .waiting
    let jitter = kernel.random() % (dialDelay / 2)
    deadline = kernel.now + dialDelay / 2 + jitter
    dialDelay = min(2 * dialDelay, settings.longestDialDelay)
  }

  mutating func closeSocket(_ kernel: inout K) {
    guard socket >= 0 else { return }
    kernel.submit(.cancel(Token(.firehoseReadable, generation: generation), of: socket), Token(.none))
    if waitsForRoom {
      kernel.submit(.cancel(Token(.firehoseWritable, generation: generation), of: socket), Token(.none))
    }
    kernel.submit(.close(socket), Token(.none))
    socket = -1
    readable = false
    hungUp = false
    waitsForRoom = false
    sendError = 0
    stalledLane = nil
    silenceCheck = .max
    silentSince = .max
    forgetBehind()
    endSweep()
  }
}
