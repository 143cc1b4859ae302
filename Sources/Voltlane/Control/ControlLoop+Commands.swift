import Glibc
import Relay
import VoltlaneSettings
import VoltlaneText

/// What the control socket can ask for.
extension ControlLoop {
  typealias Answer = @Sendable (Result<JSON, ControlError>) -> Void

  /// Does what a request asks for. `answer` is called once, now or later.
  mutating func perform(_ request: JSON, for asker: Asker, _ answer: @escaping Answer) {
    do throws(ControlError) {
      let arguments = try CommandArguments(request)
      switch arguments.command {
      case "status":
        try arguments.allow([])
        answer(.success(status))
      case "version":
        try arguments.allow([])
        answer(.success(["version": .string(Version.current)]))
      case "metrics":
        try arguments.allow([])
        answer(.success(["text": .string(try seen { MetricsPage($0, $1).text })]))
      case "varz":
        try arguments.allow([])
        answer(.success(try seen { VarzPage.json($0, $1) }))
      case "clients": try listClients(arguments, for: asker, answer)
      case "kick": try kick(arguments, answer)
      case "ban": try ban(arguments, answer)
      case "unban": try unban(arguments, answer)
      case "bans":
        try arguments.allow([])
        answer(.success(["bans": .array(bans.list())]))
      case "set": try set(arguments, answer)
      case "settings":
        try arguments.allow([])
        answer(.success(["settings": .string("\(reload.settings.effective)")]))
      case "reload":
        try arguments.allow([])
        try mayReload()
        beginReading(ReadingJob(who: "control: reload", answer: answer))
      case "drain": answer(.success(try drainGradually(arguments)))
      case "undrain":
        try arguments.allow([])
        answer(.success(try undrain()))
      default:
        throw ControlError("there is no command '\(arguments.command)'")
      }
    } catch {
      answer(.failure(error))
    }
  }

  // MARK: What there is to know

  private var status: JSON {
    var members: [JSON.Member] = [
      JSON.Member("version", .string(Version.current)), JSON.Member("pid", .integer(getpid())),
      JSON.Member("io", .string("\(relay.kernel.interface)")),
      JSON.Member("uptime_seconds", .real(seconds(started.duration(to: .now)))),
      JSON.Member("state", .string(state)), JSON.Member("accepts", .bool(relay.accepts && !isEnding)),
      JSON.Member("listeners", .array(relay.endpoints.map { .string("\($0)") })),
      JSON.Member("backend", .string("\(relay.configuration.backend)")),
      JSON.Member("log_level", .string(log.logLevel.rawValue)), JSON.Member("sessions", .integer(sessions)),
    ]
    if let gradual { members.append(JSON.Member("drain_seconds_left", .real(seconds(gradual.timeLeft)))) }
    if let desk {
      let reason = desk.unreadiness
      members.append(JSON.Member("ready", .bool(reason == nil)))
      members.append(JSON.Member("ready_reason", .string(reason ?? "")))
    }
    let counted: [(String, Metric)] = [
      ("clients_accepted", .clientsAccepted), ("clients_refused", .clientsRefused), ("sessions_ended", .sessionsEnded),
      ("packets_up", .packetsUp), ("bytes_up", .bytesUp), ("packets_down", .packetsDown), ("bytes_down", .bytesDown),
      ("backend_connections", .backendConnections), ("backend_dials_failed", .backendDialsFailed),
    ]
    members += counted.map { JSON.Member($0.0, .integer(relay[$0.1])) }
    members += [
      JSON.Member("backend_behind_seconds", .real(Double(relay[.backendBehindMilliseconds]) / 1000)),
      JSON.Member("bans", .integer(bans.count)), JSON.Member("log_lines_dropped", .integer(System.droppedLines)),
    ]
    return .object(members)
  }

  private var state: String { isEnding ? "shutting down" : gradual == nil ? "running" : "draining" }

  /// What the admin endpoint shows too.
  private func seen<Value>(_ body: (AdminDesk, RelayObserver) -> Value) throws(ControlError) -> Value {
    guard let desk, let observer = relay.observer else { throw ControlError("the relay is not running") }
    return body(desk, observer)
  }

  private func seconds(_ duration: Duration) -> Double { (duration / .milliseconds(1)).rounded() / 1000 }

  // MARK: Clients

  private func listClients(
    _ arguments: CommandArguments, for asker: Asker, _ answer: @escaping Answer
  ) throws(ControlError) {
    try arguments.allow(["sort", "order", "top", "address", "state", "id"])
    let page = ClientsPage(
      try arguments.filter(), sortedBy: try arguments.word("sort", of: ClientsPage.Column.self) ?? .bytesDown,
      isDescending: try arguments.word("order", of: SortOrder.self) != .asc,
      top: try arguments.number("top", in: 1...AdminLimits.mostClients) ?? 20)
    guard !lists.isFull else { throw ControlError("busy: \(ListQueue.most) lists of sessions are being waited for") }
    let relay = relay
    lists.add(for: asker) { finished in
      var collector = page.collector
      relay.ask(.clients(page.filter)) { row in
        if case .client(let client) = row { collector.add(client) }
      } finished: { _ in
        answer(.success(collector.page))
        finished()
      }
    }
  }

  private func kick(_ arguments: CommandArguments, _ answer: @escaping Answer) throws(ControlError) {
    try arguments.allow(["address", "id", "yes"])
    guard arguments.has("address") || arguments.has("id") else { throw ControlError("kick needs an id or an address") }
    if arguments.has("address") { _ = try arguments.confirmedNetwork("address") }
    let filter = try arguments.filter()
    let who = arguments.who
    log.info("control: kicking \(who)")
    let log = log
    relay.ask(.endAll(filter, .kicked)) { ended in
      log.info("control: kicked \(who)", metadata: ["sessions": .number(ended)])
      let isMissing = ended == 0 && filter.id != nil
      answer(isMissing ? .failure(ControlError("there is no session \(who)")) : .success(["ended": .integer(ended)]))
    }
  }

  // MARK: Bans

  /// Refuses connections from there, and ends the sessions of clients from there.
  private mutating func ban(_ arguments: CommandArguments, _ answer: @escaping Answer) throws(ControlError) {
    try arguments.allow(["network", "seconds", "yes"])
    try mayReload()
    let network = try arguments.confirmedNetwork("network").ofWholeClients
    let time = try arguments.duration("seconds", in: .seconds(1) ... .seconds(365 * 24 * 60 * 60))
    let before = bans
    bans.add(network, for: time)
    guard applySettings() else {
      bans = before
      throw ControlError("the last change is still in progress; try again")
    }
    let period = time.map { " for \($0.setting)" } ?? ""
    log.warning("control: banned \(network)\(period)")
    let isAllowed = reload.settings.configuration.relay.protection.allowed.contains { $0.overlaps(network) }
    let relay = relay
    let everybody = ShardQuestion.endAll(ClientFilter(addresses: AddressRange(network)), .kicked)
    // Twice: a shard that answers before it takes the list may let somebody finish a handshake in between. By the
    // second question it has the list.
    relay.ask(everybody) { first in
      relay.ask(everybody) { second in
        var result: [JSON.Member] = [
          JSON.Member("network", .string("\(network)")), JSON.Member("ended", .integer(first + second)),
        ]
        if isAllowed {
          result.append(JSON.Member("warning", "--allow has addresses in it, and lets them in all the same"))
        }
        answer(.success(.object(result)))
      }
    }
  }

  private mutating func unban(_ arguments: CommandArguments, _ answer: Answer) throws(ControlError) {
    try arguments.allow(["network"])
    try mayReload()
    let network = try arguments.network("network").ofWholeClients
    let before = bans
    guard bans.remove(network) else {
      let known = bans.count == 0 ? "nothing is banned" : "'bans' lists what is"
      throw ControlError("\(network) is not banned here; \(known)")
    }
    guard applySettings() else {
      bans = before
      throw ControlError("the last change is still in progress; try again")
    }
    log.info("control: \(network) is no longer banned")
    answer(.success(["network": .string("\(network)")]))
  }

  // MARK: Settings

  private mutating func set(_ arguments: CommandArguments, _ answer: @escaping Answer) throws(ControlError) {
    try arguments.allow(["setting", "values"])
    try mayReload()
    let name = try arguments.text("setting")
    guard let entry = Settings.entries.first(where: { $0.name == name || $0.alias == name }) else {
      let nearest = NearestName.of(name, in: Settings.entries.map(\.name)).map { "; did you mean \($0)?" } ?? ""
      throw ControlError("there is no setting '\(name)'\(nearest)")
    }
    guard entry.isReloadable else { throw ControlError("\(entry.name): only a start can change it") }
    let values = try arguments.texts("values")
    guard values.count == 1 || entry.isRepeatable && !values.isEmpty else {
      throw ControlError("\(entry.name): it takes one value")
    }
    beginReading(ReadingJob(who: "control", change: (entry, values), answer: answer))
  }

  // MARK: The end

  private mutating func drainGradually(_ arguments: CommandArguments) throws(ControlError) -> JSON {
    try arguments.allow(["seconds"])
    guard !isEnding else { throw ControlError("the relay is shutting down already") }
    let time =
      try arguments.duration("seconds", in: .zero ... .seconds(24 * 60 * 60))
      ?? reload.settings.configuration.drainTime
    // Another time for a drain that is under way.
    gradual?.stop()
    gradual = nil
    beginGradualDrain("control", over: time)
    return ["state": .string(state), "seconds": .real(seconds(time)), "sessions": .integer(sessions)]
  }

  private mutating func undrain() throws(ControlError) -> JSON {
    guard !isEnding else { throw ControlError("the relay is shutting down, which cannot be undone") }
    guard let gradual else { throw ControlError("the relay is not draining") }
    do throws(RelayError) {
      try relay.acceptAgain()
    } catch {
      throw ControlError("the relay cannot accept again: \(error)")
    }
    gradual.stop()
    self.gradual = nil
    log.info("control: not draining any more: accepting clients again", metadata: ["sessions": .number(sessions)])
    return ["state": .string(state), "sessions": .integer(sessions)]
  }

  private func mayReload() throws(ControlError) {
    guard !isEnding else { throw ControlError("the relay is shutting down") }
  }
}
