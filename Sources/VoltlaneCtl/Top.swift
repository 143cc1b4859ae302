import ArgumentParser
import VoltlaneText

struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A live view of the relay and its clients.",
    discussion: """
      Keys: up and down (or j, k) choose a client, x kicks it, after a question. Sort by: i id, a address, g age, d \
      idle, u bytes up, n bytes down, p pending, m memory; r turns the order round. Space pauses, h helps, q quits.
      """)
  @OptionGroup var common: Common
  @Option(help: ArgumentHelp("Seconds between two looks.", valueName: "seconds")) var every = 1.0

  func validate() throws {
    guard every >= 0.1, every <= 3600 else { throw ValidationError("--every: 0.1 to 3600 seconds") }
  }

  func run() throws {
    let connection = try common.connect()
    // Before the terminal is taken: a relay that refuses says why there.
    var view = TopView(status: try connection.ask(["command": "status"]))
    let terminal = try Terminal()
    defer { terminal.end() }
    var due = ContinuousClock.now
    while true {
      if !view.isPaused, due <= .now {
        view.take(
          status: try connection.ask(["command": "status"]),
          clients: try connection.ask(view.request(rows: terminal.size.rows)))
        due = .now + .seconds(every)
      }
      terminal.show(view.lines(columns: terminal.size.columns, rows: terminal.size.rows))
      let wait = view.isPaused ? Duration.seconds(every) : max(.zero, ContinuousClock.now.duration(to: due))
      guard let keys = terminal.keys(within: Int32(min(60_000, wait / .milliseconds(1) + 1))) else { return }
      for key in keys {
        switch view.press(key) {
        case .nothing: break
        case .look: due = .now
        case .quit: return
        case .kick(let id):
          do throws(ControlFailure) {
            _ = try connection.ask(["command": "kick", "id": .string(id)])
            view.note = "kicked \(id)"
          } catch {
            view.note = error.description
          }
          due = .now
        }
      }
    }
  }
}
