/// The settings that a role can be given while it runs. They arrive over a lane of the role's own from the control
/// thread. Its host takes them after a turn's completions have been dispatched, and before anything is read or sent.
/// From there on the whole turn of the role goes by the new ones.
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
