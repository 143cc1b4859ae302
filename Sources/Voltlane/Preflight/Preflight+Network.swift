import Relay
import VoltlaneSettings
import VoltlaneText

/// The network's settings.
extension Preflight {
  /// Connections that wait to be accepted.
  var backlog: Finding? { queue("backlog", "net.core.somaxconn") }

  /// Connections whose handshake TCP has not finished.
  var synBacklog: Finding? { queue("SYN backlog", "net.ipv4.tcp_max_syn_backlog") }

  private func queue(_ subject: String, _ name: String) -> Finding? {
    guard let length = sysctl(name) else { return nil }
    let wanted = configuration.relay.protection.backlog
    guard length >= wanted else {
      return .warn(
        subject,
        "\(name) is \(length), less than --backlog \(wanted): clients that connect at the same time are turned away",
        do: "sysctl -w \(name)=\(wanted)")
    }
    return .ok(subject, "\(name) is \(length)")
  }

  var synCookies: Finding? {
    guard let mode = sysctl("net.ipv4.tcp_syncookies") else { return nil }
    guard mode > 0 else {
      return .warn(
        "SYN cookies", "net.ipv4.tcp_syncookies is 0: a flood of SYNs locks everybody out",
        do: "sysctl -w net.ipv4.tcp_syncookies=1")
    }
    return .ok("SYN cookies", "net.ipv4.tcp_syncookies is \(mode)")
  }

  /// A firewall that tracks connections has a table, and drops whatever finds no room there.
  var connectionTracking: Finding? {
    guard let size = sysctl("net.netfilter.nf_conntrack_max") else { return nil }
    guard size >= 262_144 else {
      return .warn(
        "connection tracking", "net.netfilter.nf_conntrack_max is \(size): further connections are dropped silently",
        do: "sysctl -w net.netfilter.nf_conntrack_max=1048576, or do not track the relay's ports")
    }
    return .ok("connection tracking", "net.netfilter.nf_conntrack_max is \(size)")
  }

  /// Some program's outgoing connection may have taken a port before the relay or its backend starts.
  var ports: Finding? {
    guard let range = sysctls("net.ipv4.ip_local_port_range"), range.count == 2, range[0] <= range[1] else {
      return nil
    }
    let reserved = file("/proc/sys/net/ipv4/ip_local_reserved_ports") ?? ""
    func endangered(_ endpoints: [Endpoint]) -> [Int] {
      endpoints.compactMap { endpoint -> Int? in
        guard case .tcp(_, let port) = endpoint, (range[0]...range[1]).contains(Int(port)) else { return nil }
        return Self.has(reserved, Int(port)) ? nil : Int(port)
      }
    }
    let listeners = endangered(configuration.relay.listeners)
    let backend = endangered([configuration.relay.backend].filter { $0.isOfThisMachine && !configuration.embedsEcho })
    guard listeners.isEmpty, backend.isEmpty else {
      let whose = [(listeners, "the listeners' ports"), (backend, "the backend's port")].filter { !$0.0.isEmpty }
        .map { "\($0.1) \(list($0.0))" }.joined(separator: " and ")
      return .warn(
        "ports", "outgoing connections may take \(whose) (\(range[0])-\(range[1]))",
        do: "sysctl -w net.ipv4.ip_local_reserved_ports=\(list(listeners + backend))")
    }
    return .ok("ports", "no outgoing connection takes a listener's, or the backend's (\(range[0])-\(range[1]))")
  }

  private func list(_ ports: [Int]) -> String { ports.map(String.init).joined(separator: ",") }

  /// Whether a list such as `8080,42000-42010` contains `port`.
  private static func has(_ list: String, _ port: Int) -> Bool {
    list.split { $0 == "," || $0.isWhitespace }.contains { part in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return false }
      return (first...last).contains(port)
    }
  }

  /// What the relay asks for each client's socket.
  var receiveBuffer: Finding? {
    guard let most = sysctl("net.core.rmem_max") else { return nil }
    let wanted = configuration.relay.clientReceiveBuffer
    guard most >= wanted else {
      return .warn(
        "receive buffers",
        "net.core.rmem_max is \(most), less than --client-receive-buffer \(wanted): that is what clients' sockets get",
        do: "sysctl -w net.core.rmem_max=\(wanted)")
    }
    return .ok("receive buffers", "net.core.rmem_max is \(most)")
  }

  /// The firehose is one stream for everybody: its window bounds what the relay moves in a round trip.
  var streamBuffers: Finding? {
    let least = 4 << 20
    let all = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"].compactMap { name in
      sysctls(name).map { (name: name, sizes: $0) }
    }
    guard all.count == 2, all.allSatisfy({ $0.sizes.count == 3 }) else { return nil }
    let short = all.filter { $0.sizes[2] < least }
    guard short.isEmpty else {
      let what = short.map { "\($0.name) ends at \($0.sizes[2])" }.joined(separator: ", ")
      let advice = short.map { "sysctl -w \($0.name)='\($0.sizes[0]) \($0.sizes[1]) \(least)'" }
      return .warn(
        "stream buffers", "\(what): too little for a fast, distant backend", do: advice.joined(separator: "; "))
    }
    return .ok("stream buffers", "up to \(ByteSize(bytes: min(all[0].sizes[2], all[1].sizes[2])))")
  }

  var congestionControl: Finding? {
    let system = file("/proc/sys/net/ipv4/tcp_congestion_control")?.filter { !$0.isWhitespace }
    guard let name = configuration.relay.congestionControl ?? system else { return nil }
    guard name != "bbr" else {
      return .warn(
        "congestion control", "bbr, whose pacing costs throughput when the backend is near",
        do: "measure with --congestion-control cubic, and keep the better one")
    }
    return .ok("congestion control", name)
  }
}
