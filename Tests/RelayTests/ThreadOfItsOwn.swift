import Glibc

/// Runs `body` on a thread that ends with it, so that what it does to its thread harms nobody else, and returns what it
/// returns.
func onThreadOfItsOwn<Result>(_ body: @escaping @Sendable () -> Result) -> Result {
  let box = ThreadBox(body)
  var thread = pthread_t()
  let error = pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<AnyThreadBox>.fromOpaque(argument!).takeUnretainedValue().run()
      return nil
    }, Unmanaged<AnyThreadBox>.passUnretained(box).toOpaque())
  precondition(error == 0)
  pthread_join(thread, nil)
  return box.result!
}

private class AnyThreadBox {
  func run() {}
}

private final class ThreadBox<Result>: AnyThreadBox {
  private let body: () -> Result
  private(set) var result: Result?

  init(_ body: @escaping () -> Result) { self.body = body }

  override func run() { result = body() }
}
