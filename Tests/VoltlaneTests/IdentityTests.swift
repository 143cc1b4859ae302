import Foundation
import Testing
import VoltlaneCrypto

@testable import Voltlane

/// The file of the relay's key: made, read, and refused. Each test has a folder of its own.
@Suite final class IdentityTests {
  let folder: String
  var file: String { folder + "/relay.key" }

  /// A key, and the public key that belongs to it.
  static let digits = "e331b6d69882b4cb4ea581d88e0b604039a3de5967688d3dcffdd2270c0fd109"

  init() throws {
    folder = NSTemporaryDirectory() + "voltlane-identity-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: folder)
  }

  func write(_ text: String, mode: Int = 0o600) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
  }

  var mode: Int? {
    (try? FileManager.default.attributesOfItem(atPath: file))?[.posixPermissions] as? Int
  }

  /// What the file is refused with; nil where it is accepted.
  func refusal() -> String? {
    do throws(IdentityError) {
      _ = try Identity(file: file)
      return nil
    } catch {
      return error.description
    }
  }

  // MARK: Made

  @Test func missingFileIsMadeForItsOwnerAlone() throws {
    let made = try Identity(file: file)
    #expect(made.isNew)
    #expect(mode == 0o600)
    let again = try Identity(file: file)
    #expect(!again.isNew)
    #expect(again.key.publicKey == made.key.publicKey)
    // No draft stays behind.
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["relay.key"])
  }

  @Test func madeFileIsTheDocumentedText() throws {
    let made = try Identity(file: file)
    let lines = try String(contentsOfFile: file, encoding: .utf8).split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 3 && lines[0].hasPrefix("# ") && lines[2].isEmpty)
    let key = try SecretKey(hexadecimal: Array(lines[1].utf8).span)
    #expect(key.publicKey == made.key.publicKey)
  }

  @Test func otherFilesGetOtherKeys() throws {
    let one = try Identity(file: folder + "/one")
    let other = try Identity(file: folder + "/other")
    #expect(one.key.publicKey != other.key.publicKey)
  }

  /// Relays that start at the same time with the same missing file end up with the same key.
  @Test func allWhoMakeItAtATimeHaveOneKey() async throws {
    let file = file
    let keys = try await withThrowingTaskGroup(of: [UInt8].self) { group in
      for _ in 0..<16 { group.addTask { try Identity(file: file).key.publicKey.compressed } }
      return try await group.reduce(into: Set<[UInt8]>()) { $0.insert($1) }
    }
    #expect(keys.count == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["relay.key"])
  }

  @Test func folderThatIsNotThereIsSaid() throws {
    let file = folder + "/no/relay.key"
    #expect(
      throws: IdentityError(
        file: file, reason: "it is missing and cannot be made: No such file or directory")
    ) { try Identity(file: file) }
  }

  @Test func linkToNothingIsSaid() throws {
    try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: folder + "/nothing")
    #expect(refusal()?.contains("it is a link to a file that is not there") == true)
  }

  // MARK: Read

  @Test(arguments: [
    digits, digits + "\n", digits.uppercased(), "# the key\n\n" + digits + "\n\n# the end",
    "\r\n  \t" + digits + " \r\n",
  ])
  func writtenByHand(text: String) throws {
    try write(text)
    let identity = try Identity(file: file)
    #expect(!identity.isNew)
    #expect(identity.key.publicKey == (try SecretKey(hexadecimal: Array(Self.digits.utf8).span)).publicKey)
  }

  @Test func ownerNeedNotWriteIt() throws {
    try write(Self.digits, mode: 0o400)
    #expect(refusal() == nil)
  }

  // MARK: Refused

  @Test(arguments: [0o640, 0o604, 0o610, 0o620, 0o601, 0o644, 0o666])
  func fileThatOthersHaveAccessToIsRefused(mode: Int) throws {
    try write(Self.digits, mode: mode)
    #expect(
      refusal() == """
        the identity file \(file): others than its owner have access (mode 0\(String(mode, radix: 8))); \
        run: chmod 600 \(file)
        """)
  }

  /// To make a file of something else private would help nobody.
  @Test func fileWithoutAKeyThatOthersCanRead() throws {
    try write("notes\n", mode: 0o644)
    #expect(refusal()?.hasSuffix("line 1: a secret key of 5 characters; 64 hexadecimal digits are allowed") == true)
  }

  @Test(
    arguments: [
      ("", 1, "there is no key, which is a line of 64 hexadecimal digits"),
      ("\n# a comment\n\n", 3, "there is no key, which is a line of 64 hexadecimal digits"),
      ("abc\n", 1, "a secret key of 3 characters; 64 hexadecimal digits are allowed"),
      ("#\n\(digits)0\n", 2, "a secret key of 65 characters; 64 hexadecimal digits are allowed"),
      ("\n" + digits.dropLast() + "g", 2, "the secret key has a character that is no hexadecimal digit"),
      (digits + "\n\n" + digits, 3, "this is a second key"),
      (
        String(repeating: "0", count: 64), 1,
        "the secret key is zero or not below the order of the curve secp256k1"
      ),
      (
        String(repeating: "f", count: 64), 1,
        "the secret key is zero or not below the order of the curve secp256k1"
      ),
    ] as [(String, Int, String)])
  func malformedFileIsRefusedWithItsLine(text: String, line: Int, reason: String) throws {
    try write(text)
    #expect(refusal() == "the identity file \(file), line \(line): \(reason)")
    // It is left as it is: it may be all that is left of a key.
    #expect(try String(contentsOfFile: file, encoding: .utf8) == text)
  }

  @Test func errorsDoNotTellTheKey() throws {
    try write(Self.digits.dropLast() + "g")
    #expect(refusal()?.contains(Self.digits.prefix(8)) == false)
  }

  @Test func longFileIsRefused() throws {
    try write(String(repeating: "#", count: Identity.longestFile))
    #expect(refusal()?.hasSuffix(": it is too long to be a key") == true)
    try write(String(repeating: "\n", count: Identity.longestFile - 65) + Self.digits)
    #expect(refusal() == nil)
  }

  @Test func folderIsRefused() throws {
    try FileManager.default.createDirectory(
      atPath: file, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    #expect(refusal()?.hasSuffix(": it is not a file") == true)
  }

  /// And it does not wait for a writer.
  @Test func fifoIsRefused() throws {
    #expect(mkfifo(file, 0o600) == 0)
    #expect(refusal()?.hasSuffix(": it is not a file") == true)
  }

  /// The superuser may read everything, so that a file can be another's.
  @Test(.enabled(if: geteuid() == 0, "giving a file away takes the superuser"))
  func fileOfAnotherUserIsRefused() throws {
    try write(Self.digits)
    #expect(chown(file, 12345, 0) == 0)
    #expect(refusal()?.hasSuffix(": it belongs to another user (12345), who can read it") == true)
  }
}
