/// The kernel, and what it allows this process.
extension Preflight {
  var kernel: Finding {
    let release = file("/proc/sys/kernel/osrelease")?.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else {
      return .warn("kernel", "its release is unknown", do: "make sure that it is Linux 5.10 or later")
    }
    // Nothing fails for what it says: a sandbox such as gVisor says 4.4.0, and serves over epoll. Whether io_uring
    // works is tried, not guessed: see ``ring``.
    guard (numbers[0], numbers[1]) >= (5, 10) else {
      return .warn(
        "kernel", "it says that it is Linux \(release), older than the relay is made for",
        do: "run Linux 5.10 or later, unless this is a sandbox such as gVisor")
    }
    return .ok("kernel", "Linux \(release)")
  }

  var ring: Finding {
    let choice = configuration.relay.io
    guard choice != .epoll else { return .ok("io_uring", "is not used: --io \(choice.rawValue)") }
    guard let refusal = ringRefusal() else { return .ok("io_uring", "a ring works and has everything that is needed") }
    guard choice == .auto else { return .fail("io_uring", refusal.reason, do: refusal.advice) }
    return .warn(
      "io_uring", "\(refusal.reason): the relay runs over epoll, which costs more CPU time with many clients",
      do: refusal.advice)
  }

  /// What epoll instances of all of the user's processes may wait for.
  var watches: Finding? {
    guard configuration.relay.io != .uring, let most = sysctl("fs.epoll.max_user_watches") else { return nil }
    let wanted = wantedDescriptors ?? 65_536
    guard most >= wanted else {
      return .warn(
        "epoll watches", "fs.epoll.max_user_watches is \(most): over epoll the relay may want \(wanted)",
        do: "sysctl -w fs.epoll.max_user_watches=\(2 * wanted)")
    }
    return .ok("epoll watches", "fs.epoll.max_user_watches is \(most)")
  }

  /// The file of the relay's key, where there is one.
  var identity: Finding? {
    guard let file = configuration.identity else { return nil }
    if let refusal = identityRefusal(file) {
      return .fail(
        "identity", refusal,
        do: """
          let the relay's user alone read it, or root own it and a group of the relay's; and run this as the \
          relay's user
          """)
    }
    return .ok("identity", "\(file) has a key, or will be made at the start")
  }

  /// A client takes one descriptor.
  var descriptors: Finding? {
    guard let limit = limit("Max open files") else { return nil }
    let told = limit == .max ? "no limit" : "at most \(limit), a client takes one"
    if limit < 1024 {
      return .fail("descriptors", "at most \(limit): too few to serve anyone", do: descriptorAdvice(65_536))
    }
    if let wanted = wantedDescriptors, limit < wanted {
      let clients = configuration.relay.protection.maxClients ?? 0
      return .warn("descriptors", "\(told): --max-clients \(clients) takes \(wanted)", do: descriptorAdvice(wanted))
    }
    if limit < 65_536 { return .warn("descriptors", told, do: descriptorAdvice(65_536)) }
    return .ok("descriptors", told)
  }

  private func descriptorAdvice(_ wanted: Int) -> String {
    let hard = "raise the hard limit: LimitNOFILE= in systemd, --ulimit nofile= in Docker, ulimit -Hn in a shell"
    // No process may have more than this, whatever its own limit is.
    guard let most = sysctl("fs.nr_open"), most < wanted else { return hard }
    return "sysctl -w fs.nr_open=\(wanted), then \(hard)"
  }

  /// Those of all programs together.
  var openFiles: Finding? {
    guard let most = sysctl("fs.file-max") else { return nil }
    let wanted = wantedDescriptors ?? 65_536
    guard most >= wanted else {
      return .warn(
        "open files", "fs.file-max is \(most) for all programs together: the relay alone may want \(wanted)",
        do: "sysctl -w fs.file-max=\(2 * wanted)")
    }
    return .ok("open files", "fs.file-max is \(most) for all programs together")
  }

  /// nil if --max-clients has no limit.
  private var wantedDescriptors: Int? {
    configuration.relay.protection.maxClients.map {
      $0 + Machine.ownDescriptors + configuration.relay.otherDescriptors
    }
  }

  /// The relay's key is kept in locked memory, and on recent kernels rings count as locked memory. Whether there is
  /// enough for them is known once they have been made.
  var lockedMemory: Finding? {
    guard let limit = limit("Max locked memory") else { return nil }
    guard limit >= 64 << 10 else {
      return .warn(
        "locked memory", "at most \(limit) bytes: the relay's key may be swapped out",
        do: "LimitMEMLOCK=64K or more in systemd, --ulimit memlock= in Docker, ulimit -l in a shell")
    }
    let rings = configuration.relay.io == .epoll ? 0 : configuration.relay.ringMemory
    guard limit < rings, mayLockAnything else { return .ok("locked memory", "enough for the relay's key and rings") }
    return .ok(
      "locked memory",
      "this process may lock any amount (CAP_IPC_LOCK); without that right the rings need LimitMEMLOCK=\(rings >> 10)K")
  }

  private var mayLockAnything: Bool {
    let line = file("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    let capabilities = line.flatMap { UInt64($0.dropFirst(7).filter { !$0.isWhitespace }, radix: 16) } ?? 0
    return capabilities & 1 << 14 != 0
  }

  /// Tables are reserved as address space, of which little is ever touched.
  var overcommit: Finding? {
    guard let mode = sysctl("vm.overcommit_memory") else { return nil }
    guard mode != 2 else {
      return .warn(
        "overcommit", "address space counts as memory: the relay reserves much more of it than it uses",
        do: "sysctl -w vm.overcommit_memory=0")
    }
    return .ok("overcommit", "address space is not counted as memory")
  }
}
