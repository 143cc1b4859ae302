/// The kernel, and what it allows this process.
extension Preflight {
  var kernel: Finding {
    let release = file("/proc/sys/kernel/osrelease")?.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else {
      return .warn("kernel", "its release is not told", do: "make sure that it is Linux 6.1 or later")
    }
    guard (numbers[0], numbers[1]) >= (6, 1) else {
      return .fail("kernel", "Linux \(release) is too old", do: "run Linux 6.1 or later")
    }
    return .ok("kernel", "Linux \(release)")
  }

  var ring: Finding {
    if let refusal = ringRefusal() {
      let disabled = sysctl("kernel.io_uring_disabled") ?? 0
      let advice =
        disabled > 0
        ? "sysctl -w kernel.io_uring_disabled=0"
        : "in a container permit io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile"
      return .fail("io_uring", refusal, do: advice)
    }
    return .ok("io_uring", "the kernel gives a ring, with all that is needed")
  }

  /// A client takes one descriptor.
  var descriptors: Finding? {
    guard let limit = limit("Max open files") else { return nil }
    let advice = "raise the hard limit: LimitNOFILE= in systemd, --ulimit nofile= in Docker, ulimit -Hn in a shell"
    switch limit {
    case ..<1024: return .fail("descriptors", "at most \(limit): too few to serve anybody", do: advice)
    case ..<65_536: return .warn("descriptors", "at most \(limit), a client takes one", do: advice)
    case .max: return .ok("descriptors", "no limit")
    default: return .ok("descriptors", "at most \(limit), a client takes one")
    }
  }

  /// The relay's key is kept in locked memory.
  var lockedMemory: Finding? {
    guard let limit = limit("Max locked memory") else { return nil }
    guard limit >= 64 << 10 else {
      return .warn(
        "locked memory", "at most \(limit) bytes: the relay's key may be swapped out",
        do: "LimitMEMLOCK=64K or more in systemd, --ulimit memlock= in Docker, ulimit -l in a shell")
    }
    return .ok("locked memory", "enough for the relay's key")
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
