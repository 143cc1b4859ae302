/// The settings that a host can be given anew while it runs. They come over a lane from the control thread; a role's
/// own copy is replaced at the end of a turn, so that nothing changes within one.
struct HostSettings: BitwiseCopyable, Sendable {
  var shard: ShardSettings
  var firehose: FirehoseSettings
  /// The relay keeps it for as long as there is a host that has not taken it.
  let admission: Unmanaged<AdmissionLimits>
  var eventLevel: Event.Level

  init(_ configuration: RelayConfiguration, _ admission: AdmissionLimits) {
    shard = ShardSettings(configuration)
    firehose = FirehoseSettings(configuration)
    self.admission = .passUnretained(admission)
    eventLevel = configuration.eventLevel
  }
}
