import Foundation
import Testing
import VoltlaneSettings

@testable import Voltlane

/// Files that settings name: read once, whole, or not at all. Each test has a folder of its own.
@Suite final class SettingsFilesTests {
  private let folder: URL
  private var file: URL { folder.appendingPathComponent("list") }

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-files-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  }

  deinit {
    try? FileManager.default.removeItem(at: folder)
  }

  /// What reading the networks of ``file`` is refused with; nil where it is not.
  private func refusal(_ files: SettingsFiles) -> String? {
    do throws(FileError) {
      _ = try files.networks(file.path)
      return nil
    } catch {
      return error.description.replacing(folder.path + "/", with: "")
    }
  }

  private func write(_ text: String) throws { try Data(text.utf8).write(to: file) }

  /// A reload, after a start with other files.
  private var reload: SettingsFiles { SettingsFiles(after: [:]) }

  // MARK: Once

  /// By flag, environment and file, with everything that asks whether values are allowed.
  @Test(arguments: ["", "[", "shards = 1"]) func everyFileIsReadOnce(end: String) throws {
    var reads: [String] = []
    let files = SettingsFiles { path, _ in
      reads.append(path)
      return Array((path == "x.toml" ? "deny = ['@one', '@two', '@one']\nallow = '@one'\n\(end)" : "10.0.0.1\n").utf8)
    }
    let loaded = try? LoadedSettings(
      flags: try given(["--config", "x.toml"]), environment: ["VOLTLANE_PROXY_PROTOCOL": "@three,@one"],
      on: .test, files: files)
    if end != "[", let loaded {
      #expect(loaded.configuration.relay.protection.denied.count == 3)
      let reload = Reload(flags: [], settings: loaded)
      _ = try? reload.read(environment: [:], on: .test, files: files)
      #expect(reads.sorted() == ["one", "three", "two", "x.toml"])
    } else {
      #expect(reads == ["x.toml"])
    }
  }

  // MARK: What is in them

  @Test(
    arguments: [
      ("", 0), ("\n\n", 0), ("10.0.0.1", 1), ("10.0.0.1\r\n10.0.0.2\r\n", 2), ("10.0.0.1\r10.0.0.2", 2),
      ("\u{feff}10.0.0.1\n", 1), ("# a comment\n\t10.0.0.1 # another\n", 1), ("\u{a0}10.0.0.1\u{2003}\n", 1),
    ]) func listsAtTheStart(text: String, count: Int) throws
  {
    try write(text)
    #expect(try SettingsFiles().networks(file.path).count == count)
  }

  /// A comment may be in an encoding of another time.
  @Test func commentsMayBeInAnyEncoding() throws {
    try (Data("# M".utf8) + [0xfc] + Data("ller\n10.0.0.1\n".utf8)).write(to: file)
    #expect(try SettingsFiles().networks(file.path).count == 1)
    #expect(throws: FileError.self) { try SettingsFiles().configuration(file.path) }
  }

  @Test(
    arguments: [
      ([0xff, 0xfe, 0x31, 0x00], "list: it is UTF-16; save it as UTF-8"),
      ([0x23, 0x0a, 0x00, 0x00], "list:2: it has a zero byte, so it may not have been written completely"),
      ([0x23, 0x0a, 0x31, 0xfc], "list:2: '1\u{fffd}' is not an IPv4 or IPv6 address"),
    ] as [([UInt8], String)]) func bytesThatAreNoText(bytes: [UInt8], reason: String) throws
  {
    try Data(bytes).write(to: file)
    #expect(refusal(SettingsFiles()) == reason)
  }

  /// Without reading any of it.
  @Test func anEnormousFile() throws {
    try write("")
    #expect(truncate(file.path, 1 << 40) == 0)
    #expect(refusal(SettingsFiles())?.hasPrefix("list: it is longer than 16777216 bytes") == true)
  }

  // MARK: No files

  @Test(
    arguments: [
      ("/dev/zero", "it is a device, not a file"), ("/dev/tty", "it is a terminal, not a file"),
      ("/", "it is a directory, not a file"), ("/no/such", "it cannot be read: No such file or directory"),
    ]) func noFiles(path: String, reason: String)
  {
    // There may be no terminal to open.
    let reasons = [reason] + (path == "/dev/tty" ? ["it cannot be read: No such device or address"] : [])
    for files in [SettingsFiles(), reload] {
      let error = #expect(throws: FileError.self) { try files.networks(path) }
      #expect(error.map { reasons.contains($0.reason) } == true)
    }
  }

  @Test func nothingIsNamedByItsDevice() throws {
    #expect(try SettingsFiles().configuration("/dev/null").isEmpty)
  }

  @Test func aPipeNobodyWritesTo() {
    #expect(mkfifo(file.path, 0o600) == 0)
    let reader = FileReader(occasion: .start, pipeTime: .milliseconds(50))
    #expect(refusal(SettingsFiles(reader.bytes)) == "list: nobody has written anything to it")
    #expect(refusal(reload) == "list: SIGHUP reads files again, and this is a pipe, which can be read only once")
  }

  /// A pipe that is refused is not opened either: its writer would go on, into nothing.
  @Test func aPipeThatIsRefusedIsLeftAlone() throws {
    #expect(mkfifo(file.path, 0o600) == 0)
    let watcher = inotify_init1(Int32(IN_NONBLOCK))
    defer { close(watcher) }
    #expect(inotify_add_watch(watcher, file.path, UInt32(IN_OPEN)) >= 0)
    #expect(refusal(reload) != nil)
    #expect(System.contents(of: file.path) == nil)
    var events = [UInt8](repeating: 0, count: 4096)
    #expect(read(watcher, &events, events.count) == -1 && errno == EAGAIN)
    // It does notice.
    _ = refusal(SettingsFiles(FileReader(occasion: .start, pipeTime: .zero).bytes))
    #expect(read(watcher, &events, events.count) > 0)
  }

  @Test func aPipeWithoutAnEnd() throws {
    #expect(mkfifo(file.path, 0o600) == 0)
    let writer = open(file.path, O_RDWR)
    defer { close(writer) }
    #expect(Glibc.write(writer, "10.0.0.1\n", 9) == 9)
    let reader = FileReader(occasion: .start, pipeTime: .milliseconds(50))
    #expect(refusal(SettingsFiles(reader.bytes)) == "list: its writer does not finish")
  }

  /// More than a pipe holds, in pieces.
  @Test func aPipeIsReadToItsEnd() throws {
    let file = file
    #expect(mkfifo(file.path, 0o600) == 0)
    let lines = (0..<20_000).map { "10.\($0 >> 8).\($0 & 255).1\n" }
    Thread.detachNewThread {
      guard let writer = try? FileHandle(forWritingTo: file) else { return }
      for line in lines { try? writer.write(contentsOf: Data(line.utf8)) }
      try? writer.close()
    }
    #expect(try SettingsFiles().networks(file.path).count == 20_000)
  }

  /// The number of a descriptor may be a client's socket by then.
  @Test(arguments: ["/dev/stdin", "/dev/fd/3", "/proc/self/fd/3"])
  func aReloadReadsNoDescriptors(path: String) throws {
    #expect(throws: FileError.self) { try reload.networks(path) }
  }

  // MARK: Half-written

  @Test(
    arguments: [
      ("", "list: it is empty; if that is intended, put a comment into it, such as '# nobody'"),
      ("\n \n", "list: it is empty; if that is intended, put a comment into it, such as '# nobody'"),
      ("10.0.0.1\n10.0.0.2", "list: its last line does not end with a newline; if nothing is missing, add one"),
      ("# nobody\n", nil), ("10.0.0.1\r\n", nil),
    ]) func whatAReloadMeets(text: String, reason: String?) throws
  {
    try write(text)
    #expect(refusal(reload) == reason)
    // The same file as before is as good as before.
    let start = SettingsFiles()
    #expect(refusal(start) == nil)
    #expect(refusal(SettingsFiles(after: start.fingerprints)) == nil)
  }

  @Test func aFileThatSomebodyHasOpenForWriting() throws {
    try write("10.0.0.1\n")
    let writer = try FileHandle(forWritingTo: file)
    let reader = FileReader(occasion: .reload, quiet: .zero, writingTime: .milliseconds(50))
    #expect(
      refusal(SettingsFiles(after: [:], reader.bytes))
        == "list: it is being written: a process has it open for writing")
    // At the start it is taken as it is.
    #expect(refusal(SettingsFiles()) == nil)
    try writer.close()
    #expect(refusal(SettingsFiles(after: [:], reader.bytes)) == nil)
  }

  /// A writer that opens the file for each line.
  @Test func aFileThatKeepsChanging() throws {
    try write("10.0.0.1\n")
    let file = file
    let stop = DispatchSemaphore(value: 0)
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      var count = 0
      while stop.wait(timeout: .now()) == .timedOut {
        count += 1
        try? Data("10.0.0.1\n# \(count)\n".utf8).write(to: file)
      }
      ended.signal()
    }
    let reader = FileReader(occasion: .reload, quiet: .seconds(3600), writingTime: .milliseconds(300))
    #expect(
      refusal(SettingsFiles(after: [:], reader.bytes))
        == "list: it is being written: it kept changing while it was read")
    stop.signal()
    ended.wait()
  }

  /// It is waited for, and what is read then is the whole of it.
  @Test func aFileThatIsFinishedMeanwhile() throws {
    try write("")
    let writer = try FileHandle(forWritingTo: file)
    try writer.write(contentsOf: Data("10.0.0.1\n".utf8))
    let begun = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      begun.wait()
      try? writer.write(contentsOf: Data("10.0.0.2\n".utf8))
      try? writer.close()
    }
    let reader = FileReader(occasion: .reload, quiet: .zero, writingTime: .seconds(60))
    let files = SettingsFiles(after: [:]) { path, limit throws(FileError) in
      begun.signal()
      return try reader.bytes(of: path, atMost: limit)
    }
    #expect(try files.networks(file.path).count == 2)
  }
}
