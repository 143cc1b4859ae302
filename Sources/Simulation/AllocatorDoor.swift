/// Counts what the relay asks the allocator for. Only a program can replace its allocator: a test cannot.
public struct AllocatorDoor {
  public let setInside: (Bool) -> Void
  public let held: () -> Int
  public let fail: (Int) -> Void
  public let begin: () -> Void

  public init(
    setInside: @escaping (Bool) -> Void, held: @escaping () -> Int, fail: @escaping (Int) -> Void,
    begin: @escaping () -> Void
  ) {
    self.setInside = setInside
    self.held = held
    self.fail = fail
    self.begin = begin
  }
}
