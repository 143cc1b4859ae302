import Glibc

/// What an error number of the system means, in the system's words. Its unsafe code is a C string that is copied while
/// nobody else can change it: glibc keeps one for each thread.
package func systemMessage(_ errno: Int32) -> String {
  unsafe String(cString: strerror(errno))
}

/// What an error of getaddrinfo means, in the system's words.
package func lookUpMessage(_ code: Int32) -> String {
  unsafe String(cString: gai_strerror(code))
}
