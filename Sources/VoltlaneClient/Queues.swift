import NIOCore
import VoltlaneNIO

/// What waits to be taken and what waits to be sent. They belong to the session and outlive its connections, each of
/// which joins them once it has shaken hands.
struct Queues: Sendable {
  let inbox: Inbox<ByteBuffer, ClientError>
  let outbox: Outbox

  init(_ options: ClientOptions) {
    let outbox = Outbox(limit: options.sendLimit)
    self.outbox = outbox
    inbox = Inbox(limit: options.receiveLimit) { outbox.channel?.read() }
  }
}
