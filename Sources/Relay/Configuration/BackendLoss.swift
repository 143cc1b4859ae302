/// What happens to the clients when the connection to the backend is lost. Before the first connection nothing counts
/// as a loss.
public enum BackendLoss: String, Sendable, CaseIterable, BitwiseCopyable {
  /// They stay connected and wait; what they send is read until the relay's buffers are full.
  case hold
  /// Every session ends with `backend lost`, and new clients are refused until the backend is back.
  case drop
  /// Every session ends with `backend lost`, and then the relay itself.
  case exit
}
