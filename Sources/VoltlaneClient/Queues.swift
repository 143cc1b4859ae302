import NIOCore
import VoltlaneNIO

/// Packets that are waiting to be taken, and packets that are waiting to be sent. The queues belong to the session and
/// outlive its connections; each connection uses them once it has shaken hands.
struct Queues: Sendable {
  let inbox: Inbox<ByteBuffer, ClientError>
  let outbox: Outbox

  init(_ options: ClientOptions) {
    let outbox = Outbox(limit: options.sendLimit)
    self.outbox = outbox
    inbox = Inbox(limit: options.receiveLimit) { outbox.channel?.read() }
  }
}
