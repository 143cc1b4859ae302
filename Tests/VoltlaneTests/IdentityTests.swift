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

  /// As Kubernetes mounts a secret: the superuser's, for a group to read, behind links.
  @Test(.enabled(if: geteuid() == 0, "giving a file to the superuser takes the superuser"), arguments: [0o440, 0o640])
  func secretOfAGroupIsRead(mode: Int) throws {
    try FileManager.default.createDirectory(atPath: folder + "/..2026", withIntermediateDirectories: false)
    let secret = folder + "/..2026/relay.key"
    try Data(Self.digits.utf8).write(to: URL(fileURLWithPath: secret))
    #expect(chown(secret, 0, getegid()) == 0 && chmod(secret, mode_t(mode)) == 0)
    try FileManager.default.createSymbolicLink(atPath: folder + "/..data", withDestinationPath: "..2026")
    try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "..data/relay.key")
    #expect(refusal() == nil)
    // But not that of a group of others.
    #expect(chown(secret, 0, 54_321) == 0)
    #expect(refusal()?.contains("it can be read by a group (54321) in which this process is not") == true)
    // Nor a file that is the process's group's and somebody else's.
    #expect(chown(secret, 54_321, getegid()) == 0)
    #expect(refusal()?.contains("it belongs to another user (54321)") == true)
  }

  @Test(
    .enabled(if: geteuid() == 0, "giving a file to the superuser takes the superuser"),
    arguments: [0o460, 0o450, 0o441, 0o444])
  func secretOfAGroupThatHasMoreIsRefused(mode: Int) throws {
    try write(Self.digits, mode: mode)
    #expect(chown(file, 0, getegid()) == 0)
    #expect(refusal()?.contains("users other than its owner have access (mode 0\(String(mode, radix: 8)))") == true)
  }

  /// A process of another user, with the group beside its own, as in a pod with an fsGroup.
  @Test(.enabled(if: geteuid() == 0 && BuiltProgram.folder != nil, "to be somebody else takes the superuser"))
  func relayOfAnotherUserReadsASecretOfItsGroup() throws {
    try write(Self.digits, mode: 0o440)
    #expect(chown(file, 0, 54_321) == 0 && chmod(folder, 0o755) == 0)
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let start = [relay, "--listen", "127.0.0.1:0", "--backend", "echo", "--shards", "1", "--identity", file]
    let member = try BuiltProgram(name: "/usr/bin/setpriv").start(
      ["--reuid", "54321", "--regid", "54322", "--groups", "54321"] + start)
    let log = member.log(until: "listening on")
    #expect(log.contains("read the key in \(file)"), "\(log)")
    member.send(SIGTERM)
    #expect(member.finish().code == 0)
    let stranger = try BuiltProgram(name: "/usr/bin/setpriv").run(
      ["--reuid", "54321", "--regid", "54322", "--clear-groups"] + start)
    #expect(stranger.code == 1)
    #expect(stranger.errors.contains("it cannot be read: Permission denied"), "\(stranger.errors)")
  }

  /// As Docker mounts a secret: the superuser's, for everybody to read.
  @Test(.enabled(if: geteuid() == 0 && BuiltProgram.folder != nil, "to be somebody else takes the superuser"))
  func relayOfAnotherUserIsToldHowToMountASecret() throws {
    try write(Self.digits, mode: 0o444)
    #expect(chown(file, 0, 0) == 0 && chmod(folder, 0o755) == 0)
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let outcome = try BuiltProgram(name: "/usr/bin/setpriv").run([
      "--reuid", "54321", "--regid", "54322", "--clear-groups", relay, "--listen", "127.0.0.1:0", "--backend", "echo",
      "--shards", "1", "--identity", file,
    ])
    #expect(outcome.code == 1)
    #expect(
      outcome.errors.contains(
        """
        users other than its owner have access (mode 0444); \
        mount it for user 54321 with mode 0400, or for group 54322 with mode 0440
        """), "\(outcome.errors)")
  }

  @Test(arguments: [0o604, 0o610, 0o620, 0o601, 0o644, 0o666])
  func fileThatOthersHaveAccessToIsRefused(mode: Int) throws {
    try write(Self.digits, mode: mode)
    #expect(
      refusal() == """
        the identity file \(file): users other than its owner have access (mode 0\(String(mode, radix: 8))); \
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
      ("", 1, "there is no key in it: a line of 64 hexadecimal digits"),
      ("\n# a comment\n\n", 3, "there is no key in it: a line of 64 hexadecimal digits"),
      ("abc\n", 1, "a secret key of 3 characters; 64 hexadecimal digits are allowed"),
      ("#\n\(digits)0\n", 2, "a secret key of 65 characters; 64 hexadecimal digits are allowed"),
      ("\n" + digits.dropLast() + "g", 2, "the secret key has a character that is not a hexadecimal digit"),
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
