import Logging
import Synchronization
import Testing

@testable import Voltlane

@Suite struct StandardErrorLogTests {
  let time = UTCTime(year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5, millisecond: 6)

  @Test func line() {
    #expect(
      LogForm().line(time: time, level: .info, message: "listening", metadata: [:])
        == "2026-01-02T03:04:05.006Z info     listening\n")
    #expect(
      LogForm().line(time: time, level: .critical, message: "lost", metadata: ["b": "2", "a": "1"])
        == "2026-01-02T03:04:05.006Z critical lost  a=1 b=2\n")
  }

  @Test func lineForMachines() throws {
    let metadata: Logger.Metadata = [
      "id": "0000000000000007", "count": .number(3), "oldest": .seconds(12), "event": "backend_lost", "reason": "bytes",
    ]
    #expect(
      LogForm(format: .json).line(time: time, level: .warning, message: "a \"b\"\n\u{1b}", metadata: metadata)
        == #"{"time":"2026-01-02T03:04:05.006Z","level":"warning","message":"a \"b\"\n\u001b","count":3,"#
        + #""event":"backend_lost","id":"0000000000000007","oldest":12,"reason":"bytes"}"# + "\n")
    #expect(
      LogForm().line(time: time, level: .warning, message: "a", metadata: metadata)
        == "2026-01-02T03:04:05.006Z warning  a  count=3 id=0000000000000007 oldest=12s\n")
  }

  @Test(arguments: zip(Logger.Level.allCases, [7, 7, 6, 5, 4, 3, 2]))
  func priorities(level: Logger.Level, priority: Int) {
    for format in LogFormat.allCases {
      let form = LogForm(format: format, hasPriorities: true)
      let line = form.line(time: time, level: level, message: "a", metadata: [:])
      let plain = LogForm(format: format).line(time: time, level: level, message: "a", metadata: [:])
      #expect(line == "<\(priority)>\(plain)")
    }
  }

  @Test func messageStaysOneLine() {
    let message = "a\nb\u{1b}[2J ä\u{2028}\u{2029}\u{85}\u{202e}\u{e0041}"
    #expect(
      LogForm().line(time: time, level: .error, message: message, metadata: [:])
        == "2026-01-02T03:04:05.006Z error    "
        + #"a\nb\u{1B}[2J ä\u{2028}\u{2029}\u{0085}\u{202E}\u{000E0041}"# + "\n")
  }

  @Test(arguments: Logger.Level.allCases) func everyLevelLetsThroughWhatIsAsImportant(level: Logger.Level) {
    let lines = Mutex<[String]>([])
    let log = Logger(label: "test") { _ in
      StandardErrorLog(level: level) { line in lines.withLock { $0.append(line) } }
    }
    for other in Logger.Level.allCases { log.log(level: other, "a message") }
    let expected = Logger.Level.allCases.filter { $0 >= level }.map(\.rawValue)
    #expect(lines.withLock { $0 }.map { String($0.split(separator: " ")[1]) } == expected)
  }

  @Test func metadataOfLoggerAndMessageAreBothShown() {
    let lines = Mutex<[String]>([])
    var log = Logger(label: "test") { _ in
      StandardErrorLog(level: .info) { line in lines.withLock { $0.append(line) } }
    }
    log[metadataKey: "shard"] = "1"
    log.info("ended", metadata: ["id": "7"])
    #expect(lines.withLock { $0 }.first?.hasSuffix(" ended  id=7 shard=1\n") == true)
  }

  @Test func timeIsNow() {
    let now = UTCTime.now()
    #expect(now.year >= 2025 && (1...12).contains(now.month) && (0...999).contains(now.millisecond))
  }
}
