/// ``Admission`` of connections in the table, each of which notes what it counts towards.
extension Admission {
  mutating func endHandshake(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    endHandshake(connections[index].address, &connections[index].standing)
  }

  mutating func leaveAddress(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    leaveAddress(connections[index].address, &connections[index].standing)
  }

  mutating func leave(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    leave(connections[index].address, &connections[index].standing)
  }

  mutating func countHandshakeOut(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countHandshakeOut(&connections[index].standing)
  }

  mutating func countHandshakeIn(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    countHandshakeIn(&connections[index].standing)
  }
}
