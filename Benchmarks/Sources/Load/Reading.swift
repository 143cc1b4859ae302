import Glibc

/// Everything that is read at both ends of a measurement.
struct Reading {
  var time: UInt64
  var relay: ProcessSample?
  var generator: ProcessSample
  var machine: MachineSample

  static func take(_ relayPID: Int32?) throws(BenchError) -> Reading {
    Reading(
      time: Clock.now(),
      relay: try relayPID.map { pid throws(BenchError) in try ProcessSample.take(pid) },
      generator: try ProcessSample.take(getpid()), machine: try MachineSample.take())
  }
}
