import Glibc
import VoltlaneText

/// Why a relay cannot start.
public enum RelayError: Error, CustomStringConvertible {
  /// A system call that failed.
  case system(call: String, errno: Int32)
  /// The kernel refused an io_uring.
  case ring(errno: Int32)
  /// The kernel lacks something of io_uring.
  case ringFeature(String)
  case listen(Endpoint, errno: Int32)
  case address(Endpoint, reason: String)
  case cpu(Int, errno: Int32)
  /// A thread, by its name, could not be started.
  case thread(String, errno: Int32)

  public var description: String {
    switch self {
    case .system(let call, let error): "\(call): \(systemMessage(error))"
    case .ring(let error) where error == EPERM || error == EACCES:
      """
      io_uring is refused here (\(systemMessage(error))). Allow it: set the sysctl kernel.io_uring_disabled to 0, and \
      in a container use a seccomp profile that permits io_uring_setup, io_uring_enter and io_uring_register \
      (docker: --security-opt seccomp=unconfined, or a profile of your own)
      """
    case .ring(let error) where error == EINVAL || error == ENOSYS:
      "io_uring is too old here (\(systemMessage(error))): Linux 6.1 or later is needed"
    case .ring(let error): "io_uring: \(systemMessage(error))"
    case .ringFeature(let name): "this kernel's io_uring lacks \(name): Linux 6.1 or later is needed"
    case .listen(let endpoint, let error): "cannot listen on \(endpoint): \(systemMessage(error))"
    case .address(let endpoint, let reason): "\(endpoint): \(reason)"
    case .thread(let name, let error):
      """
      no thread for '\(name)': \(systemMessage(error)); allow the process more threads (ulimit -u, TasksMax= in \
      systemd, pids.max of the cgroup) or more memory
      """
    case .cpu(let cpu, let error): "cannot pin a thread to CPU \(cpu): \(systemMessage(error))"
    }
  }
}
