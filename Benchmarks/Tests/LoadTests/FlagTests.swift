import ArgumentParser
import Testing

@testable import voltlane_bench

struct FlagTests {
  private static let ends = ["--relay", "127.0.0.1:1", "--backend-listen", "127.0.0.1:2"]

  @Test(arguments: [
    "echo --clients 10 --size 64:3,1024 --window 8 --seconds 2 --warmup 0 --backend-thread --plain --json",
    "echo --clients 10 --stalled 9 --rate 1000",
    "echo --rate 1000 --packets 5 --count-system-calls --progress --drain-timeout 1 --relay-pid 1",
    "ingest --window 64 --sample-user-share --relay-pid 1", "egress --rate 10", "one-to-all --clients 3",
    "one-to-all --clients 65536 --multicast",
    "idle --clients 10 --no-progress",
    "connect-storm --clients 5 --connect-concurrency 3 --start-timeout 1 --congestion-control reno",
    "reconnect-storm --rounds 3",
  ])
  func `flags are understood`(text: String) throws {
    let words = text.split(separator: " ").map(String.init)
    _ = try VoltlaneBench.parseAsRoot([words[0]] + Self.ends + words.dropFirst())
  }

  @Test(arguments: [
    ("echo --window 1 --rate 1", "--window and --rate"), ("echo --seconds 1 --packets 1", "--seconds and --packets"),
    ("echo --external-backend", "--backend-listen"), ("echo --clients 0", "--clients"), ("echo --size x", "--size"),
    ("echo --rate 0", "--rate"), ("echo --rate 1e-12", "--rate"), ("egress --rate 1e-300", "--rate"),
    ("echo --rate nan", "--rate"), ("echo --packets 18446744073709551615", "--packets"),
    ("echo --packets 0", "--packets"), ("echo --clients 10 --stalled 10", "--stalled"),
    ("egress --window 0", "--window"),
    ("echo --count-system-calls", "--count-system-calls needs --relay-pid"),
    ("egress --sample-user-share", "--sample-user-share needs --relay-pid"),
    ("ingest --seconds 1 --packets 1", "--packets"),
    ("idle --warmup -1", "--warmup"), ("connect-storm --connect-concurrency 0", "--connect-concurrency"),
    ("reconnect-storm --rounds 0", "--rounds"), ("one-to-all --drain-timeout 0", "--drain-timeout"),
    ("one-to-all --clients 65537 --multicast", "--multicast"),
  ])
  func `a wrong value is refused, and the error names the flag`(text: String, flag: String) {
    let words = text.split(separator: " ").map(String.init)
    let error = #expect(throws: (any Error).self) {
      try VoltlaneBench.parseAsRoot([words[0]] + Self.ends + words.dropFirst())
    }
    #expect(error.map { VoltlaneBench.message(for: $0).contains(flag) } == true)
    #expect(error.map { VoltlaneBench.exitCode(for: $0) } == .validationFailure)
  }
}
