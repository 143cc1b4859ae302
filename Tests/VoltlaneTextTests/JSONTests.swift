import Foundation
import Testing
import VoltlaneText

@Suite struct JSONTests {
  @Test func isWrittenInOneLine() {
    let value: JSON = [
      "id": "00ff", "count": 3, "on": true, "off": false, "none": .null, "real": .real(0.5), "list": [1, "b"],
      "text": "a\"b\\c\nd\u{1b}[2J\u{85}\u{2028}\u{202e}\u{e0041}ä",
    ]
    #expect(
      "\(value)" == #"{"id":"00ff","count":3,"on":true,"off":false,"none":null,"real":0.5,"list":[1,"b"],"#
        + #""text":"a\"b\\c\nd\u001b[2J\u0085\u2028\u202e\udb40\udc41ä"}"#)
    #expect(JSON.real(.infinity) == .null)
  }

  @Test func isReadAsItIsWritten() throws {
    let value: JSON = ["a": [1, -2, .real(1.5e300), .null, true, "\u{1f600}\u{0}\u{2029}"], "b": [:], "c": []]
    #expect(try JSON(reading: "\(value)") == value)
    // As somebody else's library reads it.
    let other = try #require(try JSONSerialization.jsonObject(with: Data("\(value)".utf8)) as? [String: Any])
    #expect((other["a"] as? [Any])?.last as? String == "\u{1f600}\u{0}\u{2029}")
  }

  @Test(arguments: [
    (#" { "a" : [ 1 , 2.5e-3 ] } "#, #"{"a":[1,2.5e-3]}"#), (#""\u00e4\ud83d\ude00\/""#, "\"ä😀/\""), ("-0", "-0"),
    ("[]", "[]"), ("{}", "{}"),
  ])
  func forms(text: String, written: String) throws { #expect("\(try JSON(reading: text))" == written) }

  @Test(arguments: [
    "", " ", "{", "[1",
    "[1,]", #"{"a"}"#, #"{"a":}"#, "{a:1}", "01", "1.", "1e", "-", "+1", "tru", "nul", "'a'", #""a"#,
    "\"a\nb\"", #""\x""#, #""\u12"#, #""\ud83d""#, #""\ude00""#, #""\ud83dx""#, #""\ud83d\u0041""#, "1 2", "NaN",
    #""\u+123""#,
  ])
  func whatIsNotJSONIsRefused(text: String) { #expect(throws: JSONError.self) { try JSON(reading: text) } }

  @Test func whatIsNotUTF8IsRefused() { #expect(throws: JSONError.self) { try JSON(utf8: [0x22, 0xff, 0x22]) } }

  @Test func depthIsBounded() throws {
    let most = String(repeating: "[", count: JSON.deepest) + String(repeating: "]", count: JSON.deepest)
    _ = try JSON(reading: most)
    #expect(throws: JSONError.self) { try JSON(reading: "[\(most)]") }
    #expect(throws: JSONError.self) { try JSON(reading: String(repeating: "[", count: 1_000_000)) }
  }

  @Test func members() throws {
    let value = try JSON(reading: #"{"s":"x","i":7,"r":1.5,"b":true,"a":[1],"n":null}"#)
    #expect(value["s"]?.string == "x" && value["i"]?.integer == 7 && value["r"]?.real == 1.5)
    #expect(value["b"]?.bool == true && value["a"]?.array == [1] && value["n"] == .null && value["z"] == nil)
    #expect(value["s"]?.integer == nil && value.members?.count == 6)
  }
}
