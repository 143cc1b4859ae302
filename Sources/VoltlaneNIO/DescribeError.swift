import Glibc
import NIOCore
import NIOPosix
import VoltlaneText

/// What went wrong, in plain words: NIO's own descriptions name its types and calls.
package func describe(_ error: any Error) -> String {
  switch error {
  case let error as NIOConnectionError:
    if let last = error.connectionErrors.last { return describe(last.error) }
    return "the name '\(error.host)' does not resolve"
  case let error as IOError:
    return describe(errno: error.errnoCode)
  case ChannelError.connectTimeout:
    return "timed out"
  case is ChannelError:
    return "the connection is closed"
  case SocketAddressError.unknown(let host, _):
    return "the name '\(host)' does not resolve"
  case SocketAddressError.unixDomainSocketPathTooLong:
    return "the path is too long for a unix socket"
  case is UnixDomainSocketPathWrongType:
    return "the path is taken by something that is not a socket"
  default:
    return "\(error)"
  }
}

/// In the protocol's words, if the system's would mislead.
private func describe(errno: CInt) -> String {
  switch errno {
  case ECONNREFUSED: "connection refused"
  case ECONNRESET: "connection reset"
  case EPIPE: "connection closed by the other side"
  case ETIMEDOUT: "timed out"
  case EHOSTUNREACH: "no route to the host"
  case ENETUNREACH: "the network is unreachable"
  case EADDRINUSE: "the address is in use"
  case EADDRNOTAVAIL: "the address does not belong to this machine"
  case EACCES: "permission denied"
  case ENOENT: "no such file or directory"
  case EMFILE, ENFILE: "too many files and connections are open"
  default: systemMessage(errno)
  }
}
