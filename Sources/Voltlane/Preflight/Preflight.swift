import Relay

/// Looks at the machine as an expert would before a relay goes live there: what the kernel allows, and how its settings
/// suit many clients.
struct Preflight {
  let configuration: ProgramConfiguration
  let machine: Machine
  /// The contents of a file of /proc or /sys, or nil.
  let file: (String) -> String?
  /// Why the kernel provides no ring that works; nil if it does.
  let ringRefusal: () -> RingRefusal?

  /// Why the key in a file cannot be used; nil if it can.
  var identityRefusal: (String) -> String? = { Identity.refusal(file: $0)?.description }

  /// Every finding, in the order in which a launch would need each thing.
  var findings: [Finding] {
    [
      kernel, ring, identity, descriptors, openFiles, watches, lockedMemory, overcommit, memory, threads, tasks,
      cpus, backlog, synBacklog, synCookies, connectionTracking, ports, receiveBuffer, streamBuffers, congestionControl,
    ].compactMap { $0 }
  }

  /// A number of a sysctl by its name with dots; nil where there is none.
  func sysctl(_ name: String) -> Int? { sysctls(name)?.first }

  /// The numbers of a sysctl that has several.
  func sysctls(_ name: String) -> [Int]? {
    let text = file("/proc/sys/" + name.split(separator: ".").joined(separator: "/"))
    let numbers = text?.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    return numbers?.isEmpty == false ? numbers : nil
  }

  /// A hard limit of the process: `.max` if there is none; nil if the kernel does not say.
  func limit(_ name: String) -> Int? {
    // Name, soft limit, hard limit, unit: columns, separated by at least two spaces.
    guard let line = file("/proc/self/limits")?.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return nil
    }
    let columns = line.dropFirst(name.count).split(separator: " ")
    guard columns.count >= 2 else { return nil }
    return columns[1] == "unlimited" ? .max : Int(columns[1])
  }
}

extension Preflight {
  /// On this machine.
  init(_ configuration: ProgramConfiguration) {
    self.init(
      configuration: configuration, machine: .current(), file: System.contents,
      ringRefusal: { KernelFinding.ringRefusal(configuration.relay) })
  }
}
