import Glibc
import VoltlaneText

/// Why a relay cannot start.
public enum RelayError: Error, CustomStringConvertible {
  /// A system call that failed.
  case system(call: String, errno: Int32)
  /// The kernel provides no io_uring, or none that works, and nothing else will do.
  case ring(RingRefusal)
  case listen(Endpoint, errno: Int32)
  case address(Endpoint, reason: String)
  /// A socket that was passed to the process under this name.
  case passed(String, reason: String)
  case cpu(Int, errno: Int32)
  /// A thread with this name could not be started.
  case thread(String, errno: Int32)

  public var description: String {
    switch self {
    case .system(let call, let error): "\(call): \(systemMessage(error))"
    case .ring(let refusal): "\(refusal); or leave --io at auto, and the relay runs over epoll"
    case .listen(let endpoint, let error): "cannot listen on \(endpoint): \(systemMessage(error))"
    case .address(let endpoint, let reason): "\(endpoint): \(reason)"
    case .passed(let name, let reason): "the socket '\(name)' that was passed to the relay: \(reason)"
    case .thread(let name, let error):
      """
      no thread for '\(name)': \(systemMessage(error)); allow the process more threads (ulimit -u, TasksMax= in \
      systemd, pids.max of the cgroup) or more memory
      """
    case .cpu(let cpu, let error): "cannot pin a thread to CPU \(cpu): \(systemMessage(error))"
    }
  }
}
