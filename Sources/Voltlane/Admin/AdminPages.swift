import NIOHTTP1
import Relay

/// Which page answers which path.
struct AdminPages: Sendable {
  let desk: AdminDesk

  typealias Reply = @Sendable (AdminResponse) -> Void

  /// Answers a request, at once or later. Called once.
  func answer(_ request: AdminRequest, _ reply: @escaping Reply) {
    do throws(AdminParameters.Wrong) {
      switch request.path {
      case "/": reply(StatusPage.response)
      case "/livez": reply(.text("ok"))
      case "/readyz": reply(readiness)
      case "/metrics":
        reply(fromObserver { AdminResponse(type: MetricsPage.type, body: MetricsPage(desk, $0).text) })
      case "/varz": reply(fromObserver { .json(VarzPage.json(desk, $0)) })
      case "/clients": ask(try ClientsPage(request), reply)
      case "/ended": ask(try EndedPage(request), reply)
      default:
        reply(
          .text("there is /, /metrics, /livez, /readyz, /varz, /clients and /ended", status: .notFound))
      }
    } catch {
      reply(.wrong(error.reason))
    }
  }

  private var readiness: AdminResponse {
    if let reason = desk.unreadiness { return .text("not ready: \(reason)", status: .serviceUnavailable) }
    return .text("ready")
  }

  private func fromObserver(_ page: (RelayObserver) -> AdminResponse) -> AdminResponse {
    desk.observer.map(page) ?? .busy("the relay is not running")
  }

  // MARK: What only shards know

  private func ask(_ page: ClientsPage, _ reply: @escaping Reply) {
    ask(reply) { relay, finish in
      var collector = page.collector
      relay.ask(.clients(page.filter)) { row in
        if case .client(let client) = row { collector.add(client) }
      } finished: { _ in
        finish(.json(collector.finish()))
      }
    }
  }

  private func ask(_ page: EndedPage, _ reply: @escaping Reply) {
    ask(reply) { relay, finish in
      var rows: [EndedRow] = []
      func add(_ row: ShardRow) { if case .ended(let end) = row { rows.append(end) } }
      relay.ask(.ended, most: page.top, row: add) { _ in
        relay.ask(.refused, most: page.top, row: add) { _ in finish(.json(page.json(rows))) }
      }
    }
  }

  /// Has `question` asked on the control thread. A relay that ends meanwhile answers nobody: then the connection's own
  /// time runs out.
  private func ask(
    _ reply: @escaping Reply, _ question: @escaping @Sendable (Relay, _ finish: @escaping Reply) -> Void
  ) {
    guard desk.beginQuestion() else { return reply(.busy("other questions to the shards are being answered")) }
    let desk = desk
    let isTaken = desk.mailbox.put { relay in
      question(relay) { response in
        desk.finishQuestion()
        reply(response)
      }
    }
    if !isTaken {
      desk.finishQuestion()
      reply(.busy("the relay is not running"))
    }
  }
}
