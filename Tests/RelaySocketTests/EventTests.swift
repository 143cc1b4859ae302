import Relay
import Testing

/// What the relay tells its log comes whole and in order, whichever roles share a thread.
@Suite struct EventTests {
  @Test(arguments: Layout.allCases)
  func `clients and backend post side by side`(_ layout: Layout) throws {
    let rig = try Rig(layout) {
      $0.eventLevel = .debug
      $0.longestDialDelay = .milliseconds(50)
    }
    var firehose = rig.firehose
    var counts: [String: Int] = [:]
    var started: [UInt64] = []
    var ids: [UInt64] = []
    func take() {
      rig.relay.takeEvents {
        switch $0 {
        case .sessionStarted(let id, _): started.append(id)
        case .sessionEnded: counts["ended", default: 0] += 1
        case .backendConnected: counts["connected", default: 0] += 1
        case .backendLost: counts["lost", default: 0] += 1
        default: counts["\($0)", default: 0] += 1
        }
      }
    }
    for _ in 0..<10 {
      for _ in 0..<5 {
        let client = try rig.test.client()
        ids.append(client.id)
        client.socket.reset()
        #expect(try firehose.receive() == .failure(client.id, "stale timeout"))
      }
      firehose.socket.reset()
      firehose = try rig.backend.accept()
      take()
    }
    let expected = ["ended": 50, "connected": 11, "lost": 10]
    #expect(
      rig.test.eventually {
        take()
        return started.count == 50 && counts == expected
      })
    #expect(counts == expected)
    #expect(Set(started) == Set(ids))
  }
}
