/// Memory as the language's memory model allows it to behave, for a few threads and a few words.
///
/// How it works: a word is not a value but the list of all stores to it, in their order ("messages"). Each thread has a
/// *view*: for each word the first message that it may still read. A load takes any message from there on, so a thread
/// sees old values for as long as nothing forbids it, as with a store buffer, or a cache that hears of nothing. A store
/// that releases takes its thread's view along; a load that acquires takes over the view that it finds. A fence, of
/// which only the sequentially consistent kind is used, exchanges views with all other fences. (This is the operational
/// form of the model of C11 that the literature calls "view-based". It lets no load take the value of a store that is
/// made later; see the documentation.)
///
/// Plain memory, such as the bytes of a packet, may not be accessed by two threads without an order between them. Each
/// plain place counts its writes and its reads, and these counts are part of the views: who accesses it must have all
/// of them in view.
struct WeakMemory: Hashable {
  /// By word the first message that may be read; by plain place the writes, then the reads that were seen.
  typealias View = SIMD32<UInt8>

  enum Order: String {
    case relaxed, acquiring, releasing, acquiringAndReleasing, sequentiallyConsistent

    var acquires: Bool { self != .relaxed && self != .releasing }
    var releases: Bool { self != .relaxed && self != .acquiring }
  }

  struct Message: Hashable {
    var value: Int16
    /// What a load that acquires learns.
    var view: View
    /// It stands directly behind the message that an exchange read: nothing ever comes between.
    var isExchange = false
  }

  struct Knowledge: Hashable {
    /// What the thread sees; what it would see behind a fence that acquires; what a relaxed store takes along.
    var view = View()
    var acquired = View()
    var released = View()
  }

  struct Place: Hashable {
    var value: Int16 = 0
    var writes: UInt8 = 0
    var reads: UInt8 = 0
  }

  private(set) var words: [[Message]]
  private var threads: [Knowledge]
  private var places: [Place]
  private var fenced = View()
  /// What a call of the kernel hands from one thread to another, by bell.
  private var handed: [View]

  /// Words and places are zero at first, and everybody knows it.
  init(words wordCount: Int, places placeCount: Int, threads threadCount: Int, bells: Int) {
    precondition(wordCount + 2 * placeCount <= View.scalarCount)
    words = Array(repeating: [Message(value: 0, view: View())], count: wordCount)
    places = Array(repeating: Place(), count: placeCount)
    threads = Array(repeating: Knowledge(), count: threadCount)
    handed = Array(repeating: View(), count: bells)
  }

  private func writesOf(_ place: Int) -> Int { words.count + place }
  private func readsOf(_ place: Int) -> Int { words.count + places.count + place }

  // MARK: Words

  /// The messages that a load by `thread` may take.
  func readable(_ word: Int, _ thread: Int) -> Range<Int> { Int(threads[thread].view[word])..<words[word].count }

  mutating func load(_ word: Int, _ message: Int, _ order: Order, _ thread: Int) -> Int16 {
    take(words[word][message].view, word, message, order, thread)
    return words[word][message].value
  }

  private mutating func take(_ view: View, _ word: Int, _ message: Int, _ order: Order, _ thread: Int) {
    threads[thread].view[word] = max(threads[thread].view[word], UInt8(message))
    threads[thread].acquired = pointwiseMax(threads[thread].acquired, view)
    if order.acquires { threads[thread].view = pointwiseMax(threads[thread].view, view) }
    threads[thread].acquired = pointwiseMax(threads[thread].acquired, threads[thread].view)
  }

  /// Where a store by `thread` may stand: behind all that it has seen, but not within an exchange.
  func storable(_ word: Int, _ thread: Int) -> [Int] {
    let first = Int(threads[thread].view[word]) + 1
    return (first...words[word].count).filter { $0 == words[word].count || !words[word][$0].isExchange }
  }

  mutating func store(_ word: Int, _ value: Int16, at position: Int, _ order: Order, _ thread: Int) {
    insert(word, Message(value: value, view: View()), at: position, order, thread, readView: View())
  }

  /// The messages that an exchange by `thread` may read: none that another exchange has.
  func exchangeable(_ word: Int, _ thread: Int) -> [Int] {
    readable(word, thread).filter { $0 + 1 == words[word].count || !words[word][$0 + 1].isExchange }
  }

  /// Reads a message and puts another directly behind it.
  mutating func exchange(
    _ word: Int, _ message: Int, _ order: Order, _ thread: Int, _ new: (Int16) -> Int16
  ) -> Int16 {
    let read = words[word][message]
    take(read.view, word, message, order, thread)
    insert(
      word, Message(value: new(read.value), view: View(), isExchange: true), at: message + 1, order, thread,
      readView: read.view)
    return read.value
  }

  private mutating func insert(
    _ word: Int, _ message: Message, at position: Int, _ order: Order, _ thread: Int, readView: View
  ) {
    if position < words[word].count { makeRoom(word, at: position) }
    threads[thread].view[word] = UInt8(position)
    threads[thread].acquired[word] = max(threads[thread].acquired[word], UInt8(position))
    var message = message
    // What was read goes on with what an exchange writes.
    message.view = pointwiseMax(order.releases ? threads[thread].view : threads[thread].released, readView)
    message.view[word] = UInt8(position)
    words[word].insert(message, at: position)
  }

  private mutating func makeRoom(_ word: Int, at position: Int) {
    func moved(_ view: View) -> View {
      var view = view
      if Int(view[word]) >= position { view[word] += 1 }
      return view
    }
    for thread in threads.indices {
      threads[thread].view = moved(threads[thread].view)
      threads[thread].acquired = moved(threads[thread].acquired)
      threads[thread].released = moved(threads[thread].released)
    }
    fenced = moved(fenced)
    handed = handed.map(moved)
    for word in words.indices {
      for message in words[word].indices { words[word][message].view = moved(words[word][message].view) }
    }
  }

  /// A sequentially consistent fence.
  mutating func fence(_ thread: Int) {
    let view = pointwiseMax(threads[thread].acquired, fenced)
    threads[thread] = Knowledge(view: view, acquired: view, released: view)
    fenced = view
  }

  /// A call of the kernel by which `thread` hands on what it sees, and the end of the sleep that it ends.
  mutating func ring(_ bell: Int, _ thread: Int) { handed[bell] = pointwiseMax(handed[bell], threads[thread].view) }
  mutating func wake(_ bell: Int, _ thread: Int) {
    threads[thread].view = pointwiseMax(threads[thread].view, handed[bell])
    threads[thread].acquired = pointwiseMax(threads[thread].acquired, handed[bell])
  }

  // MARK: Plain places

  /// Nil where another thread writes there at the same time. A place has one reader at most beside its writers.
  mutating func read(_ place: Int, _ thread: Int) -> Int16? {
    guard threads[thread].view[writesOf(place)] == places[place].writes else { return nil }
    places[place].reads += 1
    learnOwn(readsOf(place), places[place].reads, thread)
    return places[place].value
  }

  /// False where another thread reads or writes there at the same time.
  mutating func write(_ place: Int, _ value: Int16, _ thread: Int) -> Bool {
    guard threads[thread].view[writesOf(place)] == places[place].writes,
      threads[thread].view[readsOf(place)] == places[place].reads
    else { return false }
    places[place].writes += 1
    places[place].value = value
    learnOwn(writesOf(place), places[place].writes, thread)
    return true
  }

  private mutating func learnOwn(_ index: Int, _ count: UInt8, _ thread: Int) {
    threads[thread].view[index] = count
    threads[thread].acquired[index] = count
  }

  // MARK: States that are the same

  /// Forgets what nobody can read any more, so that states which differ only in that are one.
  mutating func forget() {
    var least = threads[0].view
    for thread in threads.dropFirst() { least = pointwiseMin(least, thread.view) }
    func rest(_ view: View) -> View { pointwiseMax(view, least) &- least }
    for thread in threads.indices {
      threads[thread].view = rest(threads[thread].view)
      threads[thread].acquired = rest(threads[thread].acquired)
      threads[thread].released = rest(threads[thread].released)
    }
    fenced = rest(fenced)
    handed = handed.map(rest)
    for word in words.indices {
      words[word].removeFirst(Int(least[word]))
      for message in words[word].indices { words[word][message].view = rest(words[word][message].view) }
    }
    for place in places.indices {
      places[place].writes -= least[writesOf(place)]
      places[place].reads -= least[readsOf(place)]
    }
  }
}
