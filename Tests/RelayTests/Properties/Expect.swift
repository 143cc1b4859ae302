import Testing

/// What `#expect` does, without looking into the condition first: that costs more than what is tested, where it is
/// tested millions of times.
func expect(
  _ condition: Bool, _ what: @autoclosure () -> Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
  if !condition { Issue.record(what(), sourceLocation: sourceLocation) }
}
