import CLinux
import Glibc
import VoltlaneService

/// The system calls of the program. Its unsafe code passes pointers to local arrays, with their counts, and the callee
/// does not keep them.
enum System {
  /// The CPUs on which this process may run, ascending.
  static func allowedCPUs() -> [Int] {
    var cpus: [Int] = []
    var cpu = voltlane_next_allowed_cpu(-1)
    while cpu >= 0 {
      cpus.append(Int(cpu))
      cpu = voltlane_next_allowed_cpu(cpu)
    }
    return cpus
  }

  /// Keeps this thread, and those that it starts from now on, on `cpus`. Throws if the kernel refuses.
  static func run(on cpus: [Int]) throws(StartError) {
    let numbers = cpus.map { Int32($0) }
    let result = unsafe voltlane_run_on(numbers, Int32(numbers.count))
    guard result == 0 else { throw StartError(doing: "running on CPUs \(CPUList(cpus: cpus))", errno: -result) }
  }

  /// Bytes of the machine's memory.
  static func memory() -> Int {
    Int(clamping: voltlane_memory_bytes())
  }

  /// Descriptors that this process may have, with its limit raised as far as possible.
  static func descriptors() -> Int { Int(clamping: voltlane_highest_descriptor_limit()) }

  /// The groups that this process is in.
  static func groups() -> Set<UInt32> {
    let count = getgroups(0, nil)
    var others = [gid_t](repeating: 0, count: Int(max(count, 0)))
    let got = unsafe getgroups(Int32(others.count), &others)
    return Set(others.prefix(Int(max(got, 0)))).union([getegid()])
  }

  /// The process's environment.
  static func environment() -> [String: String] {
    var variables: [String: String] = [:]
    var index: Int32 = 0
    while let variable = unsafe voltlane_environment(index) {
      // name "=" value
      let parts = unsafe String(cString: variable).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
      index += 1
    }
    return variables
  }

  /// The number of the group with that name; nil if there is none.
  static func group(_ name: String) -> UInt32? {
    // What the call returns is valid until its next call, and nothing else here calls it.
    guard let found = unsafe getgrnam(name) else { return nil }
    return unsafe found.pointee.gr_gid
  }

  /// A file of at most 64 KiB, like the kernel's small files; nil if it cannot be read or is not a file. The content of
  /// a pipe is left for its actual reader.
  static func contents(of path: String) -> String? {
    (try? FileReader(occasion: .glance, pipeTime: .zero, writingTime: .zero).bytes(of: path, atMost: 64 * 1024))
      .map { String(decoding: $0, as: UTF8.self) }
  }

  /// The user as whom this process acts.
  static var user: UInt32 { geteuid() }

  /// An eventfd, by which one thread tells another that there is something for it.
  static func makeSignal() throws(StartError) -> Int32 {
    let signal = voltlane_eventfd()
    guard signal >= 0 else { throw StartError(doing: "eventfd", errno: -signal) }
    return signal
  }

  static func give(_ signal: Int32) { voltlane_eventfd_signal(signal) }

  static func close(_ signal: Int32) { voltlane_close_file(signal) }

  /// Resets a signalled eventfd.
  static func clear(_ signal: Int32) {
    var count: UInt64 = 0
    _ = unsafe voltlane_read_within(signal, &count, MemoryLayout.size(ofValue: count), 0)
  }

  /// For what is said before the log begins. Waits until it is read.
  static func writeToStandardError(_ text: String) {
    let bytes = Array(text.utf8)
    unsafe voltlane_write_all(2, bytes, bytes.count)
  }

  // MARK: The log

  /// Begins the log, for which nobody waits: a thread writes it.
  static func beginLog(_ format: LogFormat) throws(StartError) {
    let result = voltlane_log_begin(format == .json)
    guard result == 0 else { throw StartError(doing: "no thread for 'log'", errno: -result) }
  }

  /// Queues a line of the log.
  @Sendable static func writeToLog(_ line: String) {
    let bytes = Array(line.utf8)
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe voltlane_log_write(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
  }

  /// Whether the log goes to systemd's journal, which reads a priority at the start of each line.
  static var journalReadsLog: Bool { voltlane_journal_reads() }

  /// Removes a file, if it is there.
  static func removeFile(_ path: String) { _ = unsafe unlink(path) }

  /// Seconds since 1970.
  static func unixTime() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// The clock by which systemd orders what it hears.
  static func monotonicMicroseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
  }

  /// A socket to tell the service manager something from, or a negative error.
  static func openNotifier() -> Int32 { voltlane_open_notifier() }

  /// Sends a message to the service manager from a socket of ``openNotifier()``, without waiting. Returns the error, or
  /// 0.
  static func notify(_ socket: String, _ message: String, from own: Int32) -> Int32 {
    guard own >= 0 else { return -own }
    let bytes = Array(message.utf8)
    return unsafe -voltlane_notify(own, socket, bytes, bytes.count)
  }

  /// Lines of the log that were dropped since the start.
  static var droppedLines: UInt64 { UInt64(voltlane_log_dropped()) }

  /// Gives what is queued for the log a chance to be written, but no longer than this.
  static func flushLog(milliseconds: Int32) { voltlane_log_flush(milliseconds) }
}
