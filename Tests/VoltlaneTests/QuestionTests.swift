import Foundation
import Testing
import VoltlaneText

@testable import VoltlaneCtl

/// What `voltlane-ctl` asks before many clients notice, and what it does when the relay has closed its connection.
@Suite struct QuestionTests {
  @Test func wordsSayHowMany() {
    let words = Question.words(", and keeps clients from there out", of: "10.0.0.0/8", 3, of: 1)
    #expect(
      words == """
        This ends 3 of 1 session, all from 10.0.0.0/8, and keeps clients from there out. Go on? [y/N]\u{20}
        """)
  }

  @Test func wordsWhereTheRelayDoesNotCount() {
    #expect(Question.words("", of: "10.0.0.0/8") == "This ends all sessions from 10.0.0.0/8. Go on? [y/N] ")
  }

  @Test(arguments: [("y", true), ("Yes", true), ("", false), ("n", false), ("yy", false), (" y", false)])
  func onlyYesIsYes(line: String, isYes: Bool) { #expect(Question.isYes(line) == isYes) }

  /// A relay that closes a silent connection, or starts anew, is asked again over a new one.
  @Test(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"))
  func aConnectionThatWasClosedIsMadeAnew() throws {
    let scene = try ControlScene()
    let path = scene.path
    var connections = 0
    var relay = LastingConnection {
      connections += 1
      return try ControlConnection(.unix(path: path), patience: 10_000)
    }
    for _ in 0..<2 {
      let answer = try relay.ask(["command": "version"])
      #expect(answer["version"] != nil)
    }
    #expect(connections == 1)
    // The relay closes this one with a word about why.
    #expect(throws: ControlFailure.self) {
      try relay.ask(["command": "version", "long": .string(String(repeating: "x", count: 300 << 10))])
    }
    let answer = try relay.ask(["command": "version"])
    #expect(answer["version"] != nil && connections >= 2)
    // A refusal is an answer.
    #expect(throws: ControlFailure.self) { try relay.ask(["command": "nonsense"]) }
    scene.end()
    #expect(throws: ControlFailure.self) { try relay.ask(["command": "version"]) }
  }
}
