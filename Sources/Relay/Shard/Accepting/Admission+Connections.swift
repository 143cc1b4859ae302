/// ``Admission`` of connections in the table, each of which notes what it counts towards.
extension Admission {
  mutating func countOutOfHandshake(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countOutOfHandshake(connections[index].address, &connections[index].standing)
  }

  mutating func countOutOfAddress(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countOutOfAddress(connections[index].address, &connections[index].standing)
  }

  mutating func countOut(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countOut(connections[index].address, &connections[index].standing)
  }

  mutating func countHandshakeOut(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countHandshakeOut(&connections[index].standing)
  }

  mutating func countHandshakeIn(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countHandshakeIn(&connections[index].standing)
  }
}
