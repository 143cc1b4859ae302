import Glibc

// tools/sim builds the relay, the simulation and this as one module.
#if !ONE_MODULE
import Simulation
#endif

@main struct VoltlaneSim {
  static func main() {
    #if TESTABLE
    if CommandLine.arguments.contains("--help") {
      print(Arguments.help)
      return
    }
    do {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      exit(arguments.run())
    } catch {
      print("voltlane-sim: \(error)")
      exit(64)
    }
    #else
    print("voltlane-sim: this build cannot look into the relay; tools/sim makes one that can")
    exit(64)
    #endif
  }
}
