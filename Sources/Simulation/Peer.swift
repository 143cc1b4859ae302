#if TESTABLE
/// Whoever is at the other end of a connection.
protocol Peer: AnyObject {
  var name: String { get }
  /// Bytes came.
  func hear(_ link: Link)
  /// The relay's FIN came, or a reset.
  func hearEnd(_ link: Link)
}
#endif
