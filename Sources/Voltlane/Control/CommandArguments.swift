import Relay
import VoltlaneSettings
import VoltlaneText

/// What a request asks for, and with what. Whatever a request has is looked at here.
struct CommandArguments {
  let command: String
  private let members: [JSON.Member]

  init(_ request: JSON) throws(ControlError) {
    guard let command = request["command"]?.string, let members = request.members else {
      throw ControlError("a request is an object with a 'command'")
    }
    self.command = command
    // Anything else without a value may have been meant to say whom the command is about.
    for member in members where member.value == .null && member.name != "seconds" {
      throw ControlError("\(command)'s '\(member.name)' is null")
    }
    self.members = members.filter { $0.name != "command" && $0.value != .null }
  }

  func has(_ name: String) -> Bool { value(name) != nil }

  /// Refuses what the command does not know, so that a misspelt condition never means everybody.
  func allow(_ names: [String]) throws(ControlError) {
    for member in members where !names.contains(member.name) {
      throw ControlError("\(command) takes no '\(member.name)'")
    }
  }

  private func value(_ name: String) -> JSON? { members.first { $0.name == name }?.value }

  func text(_ name: String) throws(ControlError) -> String {
    guard let text = value(name)?.string else { throw ControlError("\(command) needs '\(name)', a text") }
    return text
  }

  func texts(_ name: String) throws(ControlError) -> [String] {
    let texts = (value(name)?.array ?? []).map(\.string)
    guard !texts.isEmpty, !texts.contains(nil) else { throw ControlError("\(command) needs '\(name)', texts") }
    return texts.compactMap { $0 }
  }

  func number(_ name: String, in range: ClosedRange<Int>) throws(ControlError) -> Int? {
    guard let value = value(name) else { return nil }
    guard let number = value.integer, range.contains(number) else {
      throw ControlError("\(name): \(value) is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func duration(_ name: String, in range: ClosedRange<Duration>) throws(ControlError) -> Duration? {
    guard let value = value(name) else { return nil }
    // Compared before it becomes a duration, which not every number can.
    guard let seconds = value.real, seconds >= range.lowerBound / .seconds(1),
      seconds <= range.upperBound / .seconds(1)
    else {
      let ends = (range.lowerBound.setting, range.upperBound.setting)
      throw ControlError("\(value) seconds are not allowed. Allowed: \(ends.0) to \(ends.1).")
    }
    return .milliseconds((seconds * 1000).rounded())
  }

  func word<Word: RawRepresentable<String> & CaseIterable>(
    _ name: String, of type: Word.Type
  ) throws(ControlError) -> Word? {
    guard let value = value(name) else { return nil }
    guard let word = value.string.flatMap(Word.init) else {
      let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
      throw ControlError("\(name): \(value) is not allowed. Allowed: \(words).")
    }
    return word
  }

  func network(_ name: String) throws(ControlError) -> Network {
    let text = try text(name)
    do throws(Network.Malformed) {
      return try Network(text)
    } catch {
      throw ControlError("'\(text)' is not allowed: \(error.reason). Allowed: an address or a network (CIDR).")
    }
  }

  /// A network whose clients are about to lose their sessions. One that is wide has to be confirmed.
  func confirmedNetwork(_ name: String) throws(ControlError) -> Network {
    let network = try network(name)
    guard network.isWide, value("yes") != .bool(true) else { return network }
    throw ControlError(
      "\(network) is wide, and this ends the sessions of all clients there: repeat it with --yes (\"yes\":true)")
  }

  /// The sessions that `id`, `address` and `state` mean.
  func filter() throws(ControlError) -> ClientFilter {
    var filter = ClientFilter()
    if value("address") != nil { filter.addresses = AddressRange(try network("address")) }
    filter.state = try state()
    if value("id") != nil {
      let text = try text("id")
      guard let id = UInt64(clientID: text) else {
        throw ControlError("'\(text)' is not a client's id, which has 16 hexadecimal digits")
      }
      filter.id = id
    }
    return filter
  }

  private func state() throws(ControlError) -> ClientRow.State? {
    guard let value = value("state") else { return nil }
    guard let state = ClientRow.State.allCases.first(where: { $0.label == value.string }) else {
      let states = ClientRow.State.allCases.map(\.label).joined(separator: ", ")
      throw ControlError("state: \(value) is not allowed. Allowed: \(states).")
    }
    return state
  }

  /// In words.
  var who: String {
    members.filter { $0.name != "yes" }.map { "\($0.name) \($0.value.string ?? "\($0.value)")" }.joined(separator: ", ")
  }
}

enum SortOrder: String, CaseIterable { case asc, desc }
