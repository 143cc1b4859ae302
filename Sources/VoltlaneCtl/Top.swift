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

  /// How long the relay may take to answer, in milliseconds: keys wait for it.
  private static let patience: Int32 = 3000

  func run() throws {
    let common = common
    var relay = LastingConnection { try common.connect(patience: Self.patience) }
    // Before the terminal is taken: a relay that refuses says why there.
    var view = TopView(status: try relay.ask(["command": "status"]))
    let terminal = try Terminal()
    defer { terminal.end() }
    var due = ContinuousClock.now
    while true {
      if !view.isPaused, due <= .now {
        do {
          view.take(
            status: try relay.ask(["command": "status"]),
            clients: try relay.ask(view.request(rows: terminal.size.rows)))
        } catch let failure as ControlFailure {
          // It may be about to start again.
          view.lose(failure.description)
        }
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
          do {
            _ = try relay.ask(["command": "kick", "id": .string(id)])
            view.note = "kicked \(id)"
          } catch let failure as ControlFailure {
            view.note = failure.description
          }
          due = .now
        }
      }
    }
  }
}
