import Testing
import VoltlaneSettings

@testable import Voltlane

/// What the values of settings are written as; reading them is tested with the flags.
@Suite struct TextFormTests {
  @Test(arguments: [
    (0, "0"), (1, "1"), (1000, "1000"), (1024, "1KiB"), (1 << 20, "1MiB"), (3 << 30, "3GiB"), (8_388_599, "8388599"),
    (1536, "1536"), (1_048_576 + 1024, "1025KiB"),
  ])
  func byteSize(bytes: Int, text: String) throws {
    #expect(ByteSize(bytes: bytes).description == text)
    #expect(try ByteSize(text).bytes == bytes)
  }

  @Test(arguments: [
    (Duration.zero, "0s"), (.microseconds(100), "100us"), (.microseconds(1500), "1500us"), (.milliseconds(1), "1ms"),
    (.milliseconds(1500), "1500ms"), (.seconds(90), "90s"),
    (.seconds(120), "2m"), (.seconds(86400), "24h"),
  ])
  func duration(duration: Duration, text: String) throws {
    #expect(duration.setting == text)
    #expect(try Duration(setting: text, in: .zero ... .seconds(1 << 40)) == duration)
  }

  @Test(arguments: [([0], "0"), ([0, 1], "0-1"), ([0, 2, 3, 4, 5], "0,2-5"), ([4, 0, 1], "4,0-1"), ([3, 2], "3,2")])
  func cpuList(cpus: [Int], text: String) throws {
    #expect(CPUList(cpus: cpus).description == text)
    #expect(try CPUList(text).cpus == cpus)
  }
}
