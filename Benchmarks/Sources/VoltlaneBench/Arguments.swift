import ArgumentParser
import Load

extension Address: ExpressibleByArgument {
  public init?(argument: String) {
    try? self.init(argument)
  }
}

/// Where the backend listens, or that it is not ours.
enum BackendChoice: ExpressibleByArgument, Equatable {
  case none
  case listen(Address)

  init?(argument: String) {
    if argument == "none" {
      self = .none
    } else if let address = Address(argument: argument) {
      self = .listen(address)
    } else {
      return nil
    }
  }

  var address: Address? {
    if case .listen(let address) = self { address } else { nil }
  }
}

extension PacketSizes: ExpressibleByArgument {
  public init?(argument: String) {
    try? self.init(argument)
  }

  public var defaultValueDescription: String { description }
}
