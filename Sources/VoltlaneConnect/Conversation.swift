import NIOCore
import NIOPosix
import Synchronization
import VoltlaneClient
import VoltlaneNIO

/// Moves stdin to the relay and the relay's packets to stdout, until one side is done.
final class Conversation: Sendable {
  /// How it ends after the end of stdin.
  struct Ending: Sendable {
    /// It ends when no packet has arrived for this long; nil: only when the relay ends it.
    var quiet: Duration?
    var halfCloses: Bool
  }

  /// How much of stdin is read at a time, in bytes: what a pipe of Linux holds.
  private static let readSize = 64 << 10

  private let client: Client
  private let cutsLines: Bool
  private let maxPacketSize: Int
  private let lastPacket = Mutex(ContinuousClock.now)

  init(client: Client, cutsLines: Bool, maxPacketSize: Int) {
    self.client = client
    self.cutsLines = cutsLines
    self.maxPacketSize = maxPacketSize
  }

  /// Returns when it is over, and throws the error that ended it. Whatever still waits for stdin is left behind: only
  /// the end of the process can interrupt a read.
  func run(ending: Ending) async throws {
    let (results, over) = AsyncStream.makeStream(of: Result<Void, any Error>.self)
    start(over) {
      try await self.printPackets()
      return true
    }
    start(over) {
      try await self.sendInput()
      if ending.halfCloses { try await self.client.finish() }
      guard let quiet = ending.quiet else { return false }
      try await self.waitForQuiet(quiet)
      // While there is no connection, only unsent packets are worth waiting for. If there are none, the connection
      // still counts as lost, because nobody knows what should have arrived.
      if let loss = self.loss, self.client.unsentByteCount == 0 { throw ClientError.gaveUp(after: quiet, last: loss) }
      try await self.client.finish()
      return true
    }
    let telling = Task { await self.tellStates() }
    defer { telling.cancel() }
    for await result in results {
      await client.close()
      return try result.get()
    }
  }

  /// Does one direction's `work`, which says whether its end is the end of everything.
  private func start(
    _ over: AsyncStream<Result<Void, any Error>>.Continuation, _ work: @escaping @Sendable () async throws -> Bool
  ) {
    Task {
      do {
        if try await work() { over.yield(.success(())) }
      } catch ClientError.closed {
        // The task that takes the packets knows why.
      } catch let error as LineTooLong {
        // The lines before it are fine.
        try? await client.finish()
        over.yield(.failure(error))
      } catch {
        over.yield(.failure(error))
      }
    }
  }

  /// Why there is no connection; nil if there is one.
  private var loss: ClientError? {
    if case .reconnecting(_, let cause) = client.state { cause } else { nil }
  }

  /// Reports when the connection is lost and when it is back. Attempts in between are reported if their outcome differs
  /// from the one before.
  private func tellStates() async {
    var told: ClientError?
    for await state in client.states {
      switch state {
      case .reconnecting(let attempt, let cause):
        // The client asks once more whether the session is over; it is reported once that is certain.
        guard attempt == 1 || cause != told, cause != .sessionOver else { continue }
        told = cause
        StandardStreams.tell("voltlane-connect: \(cause); reconnecting")
      case .reconnected:
        lastPacket.withLock { $0 = .now }
        StandardStreams.tell("voltlane-connect: reconnected")
      case .connected, .over:
        break
      }
    }
  }

  private func printPackets() async throws {
    for try await packet in client.packets {
      lastPacket.withLock { $0 = .now }
      var output = packet
      if cutsLines { output.writeInteger(UInt8(ascii: "\n")) }
      try StandardStreams.write(output)
    }
  }

  private func sendInput() async throws {
    var cutter = LineCutter(maximum: maxPacketSize)
    while let chunk = try await readInput() {
      guard cutsLines else {
        try await client.send(chunk)
        continue
      }
      cutter.append(chunk)
      while let line = try cutter.next() { try await client.send(line) }
    }
    if let rest = cutter.rest() { try await client.send(rest) }
  }

  /// nil at the end. A thread of its own waits for the input.
  private func readInput() async throws -> ByteBuffer? {
    let count = cutsLines ? Self.readSize : min(Self.readSize, max(1, maxPacketSize))
    let chunk = try await NIOThreadPool.singleton.runIfActive { try StandardStreams.read(upTo: count) }
    return chunk.readableBytes > 0 ? chunk : nil
  }

  /// Waits until no packet has arrived for `quiet`, counted from the end of stdin at the earliest.
  private func waitForQuiet(_ quiet: Duration) async throws {
    lastPacket.withLock { $0 = .now }
    while true {
      let until = lastPacket.withLock { $0 } + quiet
      guard until > .now else { return }
      try await Task.sleep(until: until)
    }
  }
}
