import NIOHTTP1
import Relay

/// Which page answers which path.
struct AdminPages: Sendable {
  let desk: AdminDesk

  /// The endpoint's thread makes the answer, whoever had what goes into it.
  typealias Reply = @Sendable (@escaping @Sendable () -> AdminResponse) -> Void

  /// Answers a request, at once or later. Called once.
  func answer(_ request: AdminRequest, _ reply: @escaping Reply) {
    func now(_ response: AdminResponse) { reply { response } }
    do throws(AdminParameters.Wrong) {
      switch request.path {
      case "/": now(StatusPage.response)
      case "/livez": now(.text("ok"))
      case "/readyz": now(readiness)
      case "/metrics":
        now(fromObserver { AdminResponse(type: MetricsPage.type, body: MetricsPage(desk, $0).text) })
      case "/varz": now(fromObserver { .json(VarzPage.json(desk, $0)) })
      case "/clients": ask(try ClientsPage(request), reply)
      case "/ended": ask(try EndedPage(request), reply)
      default:
        now(
          .text("there is /, /metrics, /livez, /readyz, /varz, /clients and /ended", status: .notFound))
      }
    } catch {
      now(.wrong(error.reason))
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

  /// ``Reply`` on the control thread.
  private typealias Finish = (@escaping @Sendable () -> AdminResponse) -> Void

  private func ask(_ page: ClientsPage, _ reply: @escaping Reply) {
    ask(reply) { relay, finish in
      var collector = page.collector
      relay.ask(.clients(page.filter)) { row in
        if case .client(let client) = row { collector.add(client) }
      } finished: { _ in
        let rows = collector
        finish { .json(rows.page) }
      }
    }
  }

  private func ask(_ page: EndedPage, _ reply: @escaping Reply) {
    ask(reply) { relay, finish in
      var collector = page.collector
      func add(_ row: ShardRow) -> Bool {
        if case .ended(let end) = row { collector.add(end) } else { true }
      }
      relay.askWhile(.ended, row: add) { _ in
        relay.askWhile(.refused, row: add) { _ in
          let rows = collector
          finish { .json(rows.page) }
        }
      }
    }
  }

  /// Has `question` asked on the control thread, once it is its turn. A relay that ends meanwhile answers nobody: then
  /// the connection's own time runs out.
  private func ask(
    _ reply: @escaping Reply, _ question: @escaping @Sendable (Relay, _ finish: @escaping Finish) -> Void
  ) {
    guard desk.beginQuestion() else {
      return reply { .busy("other questions to the shards are being answered") }
    }
    let desk = desk
    let isTaken = desk.mailbox.put { relay, finished in
      question(relay) { response in
        desk.finishQuestion()
        reply(response)
        finished()
      }
    }
    if !isTaken {
      desk.finishQuestion()
      reply { .busy("the relay is not running") }
    }
  }
}
