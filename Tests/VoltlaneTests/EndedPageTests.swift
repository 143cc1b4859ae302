import Testing
import VoltlaneText

@testable import Relay
@testable import Voltlane

/// The page of what ended takes the newest of all shards, and neither keeps nor asks for much more.
@Suite struct EndedPageTests {
  private static func row(_ time: UInt64) -> EndedRow {
    EndedRow(
      cause: .session(.kicked), id: time, address: .none, time: time, age: 0, bytesUp: 0, bytesDown: 0)
  }

  @Test func theNewestOfAllShards() throws {
    let page = try EndedPage(AdminRequest(uri: "/ended?top=100"))
    var collector = page.collector
    let (shards, kept) = (64, 10_000)
    var rows = 0
    // Each shard gives its newest first, some rows at a time, for as long as more is wanted of it.
    var next = [Int](repeating: kept, count: shards)
    var isWanted = [Bool](repeating: true, count: shards)
    while isWanted.contains(true) {
      for shard in 0..<shards where isWanted[shard] {
        for _ in 0..<64 where isWanted[shard] {
          next[shard] -= 1
          rows += 1
          isWanted[shard] = collector.add(Self.row(UInt64(1 + next[shard] * shards + shard))) && next[shard] > 0
        }
      }
    }
    // Of the 640,000 that there are.
    #expect(rows < 64 * shards + 2 * 100 + shards)
    let ended = collector.page["ended"]?.array ?? []
    let newest = UInt64(shards * kept)
    #expect(ended.compactMap { $0["id"]?.string } == (0..<100).map { String(clientID: newest - $0) })
  }

  @Test func fewerThanThereIsRoomFor() throws {
    var collector = try EndedPage(AdminRequest(uri: "/ended")).collector
    for time in [3, 1, 2] as [UInt64] {
      let isMoreWanted = collector.add(Self.row(time))
      #expect(isMoreWanted)
    }
    let ended = collector.page["ended"]?.array ?? []
    #expect(ended.compactMap { $0["id"]?.string } == [3, 2, 1].map { String(clientID: $0) })
  }
}
