import Glibc
import Testing

/// Clients that leave in every way and come back, behind a backend that is killed again and again: see ``Soak``. Each
/// run has a process of its own, so that its memory and its descriptors can be measured.
@Suite struct SoakTests {
  @Test(arguments: Layout.allCases + [.moving])
  func `clients come and go behind a backend that dies`(_ layout: Layout) async {
    let seed = Soak.seed()
    await #expect(processExitsWith: .success) { [layout, seed = seed as UInt64] in
      try Soak(layout, clients: .leaving, seed: seed, kills: 30).run()
    }
  }

  @Test(arguments: Layout.allCases + [.moving])
  func `a hundred backends die under load`(_ layout: Layout) async {
    let seed = Soak.seed()
    await #expect(processExitsWith: .success) { [layout, seed = seed as UInt64] in
      try Soak(layout, clients: .staying, seed: seed, kills: 100).run()
    }
  }
}
