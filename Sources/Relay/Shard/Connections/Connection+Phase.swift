extension Connection {
  /// Where a connection is in its life.
  ///
  ///     accepted --> proxy --> version --> key --> verifying -------------------> attached --> halfClosed
  ///         |                     ^         ^ |                                      ^
  ///         +---------------------+         | |                                  returning
  ///                                         | |                                      ^
  ///                                         | +-> sealing --> response --> opening --> ping
  ///     handed over by another shard -------+     (a client that comes back)
  ///
  ///     from each of them but proxy and version --> closing --> released --> free
  ///     from each of them, at once ---------------------------> released
  ///
  /// | phase      | entered when                                  | the next word is | queue              |
  /// |------------|-----------------------------------------------|------------------|--------------------|
  /// | proxy      | a trusted proxy's socket was accepted         | the proxy's      | silent             |
  /// | version    | a socket was accepted, or its header is over  | the client's     | silent             |
  /// | key        | the version came, or another shard's socket   | the client's     | halfway            |
  /// | verifying  | the client's key came                         | a worker's       |                    |
  /// | sealing    | a client id came                              | a worker's       |                    |
  /// | response   | the challenge was sent                        | the client's     | challenged         |
  /// | opening    | the response came                             | a worker's       |                    |
  /// | ping       | the response was right                        | the client's     | challenged         |
  /// | returning  | the ping came                                 | the shard's      | returning          |
  /// | attached   | a session began, or its client is back        | anyone's         | gone, after a FIN  |
  /// | halfClosed | the client's FIN was read                     | the backend's    |                    |
  /// | closing    | the relay decided so                          | the client's FIN |                    |
  /// | released   | the socket was closed, or handed over         |                  |                    |
  ///
  /// In `key` and `response` a connection may also wait for a worker: the next word is the shard's then, and the queue
  /// is `parkedNew` or `parkedReturning`.
  ///
  /// ``Shard/enter(_:_:)`` is the one way from one phase to the next.
  enum Phase: UInt8 {
    /// The slot is nobody's.
    case free
    /// A load balancer's connection: expects the header that says whose it is. The relay has sent nothing yet.
    case proxy
    /// Expects the protocol version. The relay has sent nothing yet.
    case version
    /// Has the relay's key; expects the client's, or a client id.
    case key
    /// A worker checks the client's key; what arrives meanwhile stays in the socket.
    case verifying
    /// The client wants an earlier session back: a worker seals its challenge.
    case sealing
    /// The client has the challenge; expects the response.
    case response
    /// A worker opens the response.
    case opening
    /// The client has proved who it is; expects the ping with which the reconnection takes effect.
    case ping
    /// The ping has come; the reconnection waits for the turn's sends and for room in the uplink.
    case returning
    /// Packets go both ways.
    case attached
    /// The client sent its FIN and is still written to.
    case halfClosed
    /// What is queued is sent, then a FIN, then input is discarded until the client's FIN.
    case closing
    /// The socket is gone, but the turn's list of sends still holds the slot. It is freed when it leaves that list.
    case released

    @inline(__always) var hasSocket: Bool { self != .free && self != .released }

    /// The queue that a connection joins as it enters the phase.
    @inline(__always) var queue: ConnectionQueue.Kind {
      switch self {
      case .proxy, .version: .silent
      case .key: .halfway
      case .response, .ping: .challenged
      case .returning: .returning
      case .free, .verifying, .sealing, .opening, .attached, .halfClosed, .closing, .released: .none
      }
    }

    /// The list on which a connection that has something to read is put.
    @inline(__always) var list: ReadyList.Kind {
      switch self {
      case .attached: .clients
      case .free, .released: .none
      default: .others
      }
    }

    /// Whether the connection has named an earlier session, and so has an ``Attempt``.
    var isAttempt: Bool {
      switch self {
      case .sealing, .response, .opening, .ping, .returning: true
      case .free, .proxy, .version, .key, .verifying, .attached, .halfClosed, .closing, .released: false
      }
    }

    /// Whether `next` may follow: the table that the drawing shows.
    func canBecome(_ next: Phase) -> Bool {
      switch (self, next) {
      case (.free, .proxy), (.free, .version), (.free, .key): true
      case (.proxy, .version), (.version, .key): true
      case (.key, .verifying), (.verifying, .attached): true
      case (.key, .sealing), (.sealing, .response), (.response, .opening), (.opening, .ping), (.ping, .returning): true
      case (.returning, .attached), (.attached, .halfClosed): true
      case (.free, _), (.released, .closing), (.proxy, .closing), (.version, .closing), (.closing, .closing): false
      case (_, .closing): true
      case (.released, .released): false
      case (_, .released): true
      case (.released, .free): true
      default: false
      }
    }
  }
}

extension Shard where K: ~Copyable {
  /// Moves a connection from its phase to the next one, with its queue and its list. Nothing else changes a phase,
  /// except that the table of connections frees slots.
  mutating func enter(_ phase: Connection.Phase, _ index: UInt32) {
    let old = connections[index].phase
    assert(old.canBecome(phase), "connection \(index) goes from \(old) to \(phase)")
    connections[index].phase = phase
    // One that stays in its queue keeps its place there.
    if connections[index].queue != phase.queue { queues.move(index, to: phase.queue, connections) }
    if connections[index].list != .none, connections[index].list != phase.list {
      lists.move(index, to: phase.list, connections)
    }
  }
}
