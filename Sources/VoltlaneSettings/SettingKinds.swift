import VoltlaneText

/// The kinds of values that several settings share.
extension SettingDefinitions {
  package typealias Reader<Value> = Setting<Value>.Reader

  package static var endpoint: Reader<Endpoint> {
    { text throws(Refusal) in
      do throws(EndpointError) {
        return try Endpoint(text)
      } catch {
        throw .because(error.reason)
      }
    }
  }

  /// An endpoint to connect to.
  package static var reachableEndpoint: Reader<Endpoint> {
    { text throws(Refusal) in
      let endpoint = try endpoint(text)
      if case .tcp(_, port: 0) = endpoint { throw .because("nothing can be reached at port 0") }
      return endpoint
    }
  }

  /// What `read` reads, or the word that lets the program decide.
  package static func automatic<Value>(
    _ read: @escaping Reader<Value>, word: String = "auto"
  ) -> Reader<Automatic<Value>> {
    { text throws(Refusal) in text == word ? .auto : .value(try read(text)) }
  }

  package static func oneOf<Value>(_ find: @escaping @Sendable (String) -> Value?) -> Reader<Value> {
    { text throws(Refusal) in
      guard let value = find(text) else { throw .plain }
      return value
    }
  }

  package static func number(in range: ClosedRange<Int>) -> Reader<Int> {
    oneOf { text in wholeNumber(text).flatMap { range.contains($0) ? $0 : nil } }
  }

  package static func size(in range: ClosedRange<Int>) -> Reader<ByteSize> {
    { text throws(Refusal) in
      let size = try ByteSize(text)
      guard range.contains(size.bytes) else { throw .plain }
      return size
    }
  }

  package static func duration(in range: ClosedRange<Duration>) -> Reader<Duration> {
    { text throws(Refusal) in
      let duration = try fineDuration(in: range)(text)
      guard duration.components.attoseconds % 1_000_000_000_000_000 == 0 else {
        throw .because("it is not in whole milliseconds")
      }
      return duration
    }
  }

  /// A duration to the microsecond.
  package static func fineDuration(in range: ClosedRange<Duration>) -> Reader<Duration> {
    { text throws(Refusal) in
      let duration = try Duration(setting: text, in: range)
      guard range.contains(duration) else { throw .plain }
      return duration
    }
  }

  /// What `read` reads, for what the kernel counts in seconds.
  package static func wholeSeconds(_ read: @escaping Reader<Duration>) -> Reader<Duration> {
    { text throws(Refusal) in
      let duration = try read(text)
      guard duration.components.attoseconds == 0 else { throw .because("it is not in whole seconds") }
      return duration
    }
  }

  package static func numbers(_ range: ClosedRange<Int>) -> String {
    "a number from \(range.lowerBound) to \(range.upperBound)"
  }

  package static func sizes(_ range: ClosedRange<Int>) -> String {
    let ends = (ByteSize(bytes: range.lowerBound), ByteSize(bytes: range.upperBound))
    return "\(ends.0) to \(ends.1), in bytes or with KiB, MiB, GiB, KB, MB or GB"
  }

  package static func fineDurations(_ range: ClosedRange<Duration>) -> String {
    "\(range.lowerBound.setting) to \(range.upperBound.setting), with us, ms, s, m or h"
  }

  package static func durations(_ range: ClosedRange<Duration>) -> String {
    "\(range.lowerBound.setting) to \(range.upperBound.setting), with ms, s, m or h"
  }
}
