import Synchronization
import Testing
import VoltlaneNIO

@Suite(.timeLimit(.minutes(10))) struct InboxTests {
  struct Failure: Error, Equatable {}

  @Test func producerStopsAtTheLimitAndGoesOnAtHalf() async throws {
    let resumed = Mutex(0)
    let inbox = Inbox<Int, Failure>(limit: 100) { resumed.withLock { $0 += 1 } }
    inbox.append([(1, 40), (2, 40)])
    #expect(inbox.hasRoom())
    inbox.append([(3, 40)])
    #expect(inbox.bytes == 120)
    #expect(!inbox.hasRoom())
    #expect(try await inbox.next() == 1)
    #expect(resumed.withLock { $0 } == 0)
    #expect(try await inbox.next() == 2)
    #expect(resumed.withLock { $0 } == 1)
    #expect(try await inbox.next() == 3)
    // Once is enough.
    #expect(resumed.withLock { $0 } == 1)
    #expect(inbox.bytes == 0)
  }

  @Test func whatIsQueuedComesBeforeTheError() async throws {
    let inbox = Inbox<Int, Failure>(limit: 100) {}
    inbox.append([(1, 1), (2, 1)])
    inbox.finish(Failure())
    inbox.finish()
    inbox.append([(3, 1)])
    #expect(try await inbox.next() == 1)
    #expect(try await inbox.next() == 2)
    await #expect(throws: Failure()) { try await inbox.next() }
    await #expect(throws: Failure()) { try await inbox.next() }
  }

  @Test func aWaitingTaskIsServed() async throws {
    let inbox = Inbox<Int, Failure>(limit: 100) {}
    async let first = inbox.next()
    await Task.yield()
    inbox.append([(7, 1)])
    #expect(try await first == 7)
    async let last = inbox.next()
    await Task.yield()
    inbox.finish()
    #expect(try await last == nil)
  }

  @Test func cancellingLosesNothing() async throws {
    let inbox = Inbox<Int, Failure>(limit: 100) {}
    // Both orders of waiting and cancelling come up.
    for round in 0..<200 {
      let taker = Task { try await inbox.next() }
      if round % 2 == 0 { await Task.yield() }
      taker.cancel()
      #expect(try await taker.value == nil)
    }
    inbox.append([(1, 1)])
    #expect(try await inbox.next() == 1)
  }

  @Test func eachElementGoesToOneTask() async throws {
    let inbox = Inbox<Int, Never>(limit: 100) {}
    let taken = await withTaskGroup(of: [Int].self) { group in
      for _ in 0..<4 {
        group.addTask {
          var mine: [Int] = []
          while let element = await inbox.next() { mine.append(element) }
          return mine
        }
      }
      for element in 0..<1000 {
        inbox.append([(element, 1)])
        if element % 10 == 0 { await Task.yield() }
      }
      inbox.finish()
      return await group.reduce(into: []) { $0 += $1 }
    }
    #expect(taken.sorted() == Array(0..<1000))
  }
}
