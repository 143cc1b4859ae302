import CLinux
import Logging

/// One line for each message on standard error, in the form that ``LogForm`` has.
struct StandardErrorLog: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  private let form: LogForm
  private let write: @Sendable (String) -> Void

  /// `write` takes a line with its newline; it is called from any thread.
  init(
    level: Logger.Level, form: LogForm = LogForm(), write: @escaping @Sendable (String) -> Void = System.writeToLog
  ) {
    logLevel = level
    self.form = form
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    tell(event.level, "\(event.message)", all)
  }

  /// Writes a message of any level.
  func tell(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata = [:]) {
    write(form.line(time: UTCTime.now(), level: level, message: message, metadata: metadata))
  }
}

/// A time of day in UTC, to the millisecond.
struct UTCTime: Equatable, CustomStringConvertible {
  var year, month, day, hour, minute, second, millisecond: Int

  static func now() -> UTCTime {
    let now = voltlane_utc_now()
    return UTCTime(
      year: Int(now.year), month: Int(now.month), day: Int(now.day), hour: Int(now.hour), minute: Int(now.minute),
      second: Int(now.second), millisecond: Int(now.millisecond))
  }

  var description: String {
    let date = "\(year)-\(month.digits(2))-\(day.digits(2))"
    return "\(date)T\(hour.digits(2)):\(minute.digits(2)):\(second.digits(2)).\(millisecond.digits(3))Z"
  }
}

extension Int {
  fileprivate func digits(_ count: Int) -> String {
    let digits = String(self)
    return String(repeating: "0", count: Swift.max(0, count - digits.count)) + digits
  }
}
