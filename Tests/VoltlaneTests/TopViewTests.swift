import Testing
import VoltlaneText

@testable import VoltlaneCtl

/// What `voltlane-ctl top` shows, and what its keys do.
@Suite struct TopViewTests {
  private static func status(packets: Int = 0) -> JSON {
    [
      "version": "1", "state": "running", "uptime_seconds": 90, "sessions": 3, "sessions_ended": 1, "bans": 0,
      "packets_up": .integer(packets), "bytes_up": .integer(100 * packets), "packets_down": 0, "bytes_down": 0,
    ]
  }

  private static func list(_ ids: [String]) -> JSON {
    let clients = ids.map { id -> JSON in ["id": .string(id), "address": "192.0.2.1", "state": "attached"] }
    return ["clients": .array(clients), "total": 30]
  }

  private static func view(_ ids: [String] = ["a", "b", "c"]) -> TopView {
    var view = TopView(status: status())
    view.take(status: status(), clients: list(ids))
    return view
  }

  /// The line that is marked as chosen, by its first word.
  private static func chosen(_ view: TopView) -> String? {
    view.lines(columns: 80, rows: 24).first { $0.style == .reverse }?.text.split(separator: " ").first.map(String.init)
  }

  @Test func linesFillTheTerminal() {
    let lines = Self.view().lines(columns: 80, rows: 24)
    #expect(lines.count == 24)
    #expect(lines[0].text.contains("running") && lines[0].text.contains("up 1m 30s"))
    #expect(lines[4].text.hasPrefix("ID"))
    #expect(lines[23].text.contains("3 of 30, by bytes-down, largest first"))
    // Where there is hardly room, nothing breaks.
    for rows in 1...8 { #expect(Self.view().lines(columns: 10, rows: rows).count >= 1) }
  }

  @Test func ratesAreDifferences() {
    let start = ContinuousClock.now
    var view = TopView(status: Self.status())
    view.take(status: Self.status(), clients: Self.list([]), now: start)
    view.take(status: Self.status(packets: 4000), clients: Self.list([]), now: start + .seconds(2))
    let line = view.lines(columns: 80, rows: 24)[1].text
    #expect(line.contains("up 2.0 kpackets/s  200 kB/s"), "\(line)")
  }

  /// A relay that is gone, and one that comes after it, whose counts begin again.
  @Test func anAbsentRelayIsSaid() {
    let start = ContinuousClock.now
    var view = TopView(status: Self.status())
    view.take(status: Self.status(packets: 4000), clients: Self.list(["a"]), now: start)
    view.lose("cannot reach a relay")
    #expect(view.lines(columns: 80, rows: 24)[0].text.contains("NO RELAY: cannot reach a relay"))
    #expect(Self.chosen(view) == "a")
    view.take(status: Self.status(packets: 10), clients: Self.list(["a"]), now: start + .seconds(1))
    let lines = view.lines(columns: 80, rows: 24)
    #expect(!lines[0].text.contains("NO RELAY") && lines[1].text.contains("up - packets/s"), "\(lines[1].text)")
  }

  @Test func aClientStaysChosen() {
    var view = Self.view()
    #expect(Self.chosen(view) == "a")
    _ = view.press(.down)
    _ = view.press(.character("j"))
    #expect(Self.chosen(view) == "c")
    _ = view.press(.down)
    #expect(Self.chosen(view) == "c")
    view.take(status: Self.status(), clients: Self.list(["c", "a", "b"]))
    #expect(Self.chosen(view) == "c")
    view.take(status: Self.status(), clients: Self.list(["a", "b"]))
    #expect(Self.chosen(view) == "a")
    view.take(status: Self.status(), clients: Self.list([]))
    #expect(Self.chosen(view) == nil)
    #expect(view.press(.character("x")) == .nothing)
  }

  @Test func kickingIsAQuestion() {
    var view = Self.view()
    _ = view.press(.down)
    #expect(view.press(.character("x")) == .nothing)
    #expect(view.lines(columns: 80, rows: 24).last?.text == "kick b from 192.0.2.1? y: yes, any other key: no")
    // The list may change while the question stands.
    view.take(status: Self.status(), clients: Self.list(["z", "y", "b"]))
    #expect(view.press(.character("n")) == .nothing)
    #expect(view.lines(columns: 80, rows: 24).last?.text == "nobody was kicked")
    _ = view.press(.character("x"))
    #expect(view.press(.character("y")) == .kick(id: "b"))
    // Only the answer to a question kicks.
    #expect(view.press(.character("y")) == .nothing)
  }

  @Test func sortingAndPausing() {
    var view = Self.view()
    #expect(view.press(.character("u")) == .look)
    #expect(view.request(rows: 24)["sort"] == "bytes_up" && view.request(rows: 24)["order"] == "desc")
    #expect(view.press(.character("r")) == .look)
    #expect(view.request(rows: 24)["order"] == "asc")
    #expect(view.press(.character("i")) == .look)
    #expect(view.request(rows: 24)["sort"] == "id" && view.request(rows: 24)["order"] == "asc")
    #expect(view.request(rows: 24)["top"] == 18 && view.request(rows: 1)["top"] == 1)
    #expect(!view.isPaused)
    _ = view.press(.character(" "))
    #expect(view.isPaused && view.lines(columns: 80, rows: 24)[0].text.contains("PAUSED"))
    _ = view.press(.character(" "))
    #expect(!view.isPaused)
  }

  @Test func helpAndTheEnd() {
    var view = Self.view()
    _ = view.press(.character("h"))
    #expect(view.lines(columns: 80, rows: 24).contains { $0.text.contains("after a question") })
    #expect(view.press(.character("x")) == .nothing)
    #expect(view.lines(columns: 80, rows: 24)[0].text.hasPrefix("voltlane"))
    for key in ["q", "\u{3}", "\u{4}"] as [Character] { #expect(view.press(.character(key)) == .quit) }
  }

  @Test func keysOfTheTerminal() {
    #expect(Terminal.keys("\u{1b}[A\u{1b}[Bq\u{1b}OA\u{1b}[6~") == [.up, .down, .character("q"), .up, .pageDown])
    #expect(Terminal.keys("\u{1b}") == [.escape])
  }

  @Test(arguments: [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (2_500_000_000, "2.5 GB")])
  func bytes(count: Int, text: String) { #expect(Shown.bytes(count) == text) }

  @Test(arguments: [(0, "0s"), (59.9, "59s"), (3600, "1h"), (90_061, "1d 1h"), (.infinity, "11574074074d 1h")])
  func times(seconds: Double, text: String) { #expect(Shown.time(seconds) == text) }
}
