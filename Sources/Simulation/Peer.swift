#if TESTABLE
/// The other end of a connection.
protocol Peer: AnyObject {
  var name: String { get }
  /// Bytes have arrived.
  func hear(_ link: Link)
  /// The relay's FIN has arrived, or a reset.
  func hearEnd(_ link: Link)
}
#endif
