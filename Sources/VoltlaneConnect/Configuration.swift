import VoltlaneClient
import VoltlaneSettings

/// What the program does: its arguments, read.
struct Configuration {
  var relay: Endpoint
  var options: ClientOptions
  var session: FileSessionStore?
  var cutsLines: Bool
  var ending: Conversation.Ending

  init(_ command: VoltlaneConnect) throws(SettingError) {
    relay = try Settings.relay.value(of: [command.relay])
    options = ClientOptions(
      connectTimeout: try Settings.connectTimeout.value(of: command.connectTimeout),
      maxPacketSize: try Settings.maxPacketSize.value(of: command.maxPacketSize).bytes,
      relayKey: try Settings.relayKey.value(of: command.relayKey).given)
    let giveUp = try Settings.giveUp.value(of: command.giveUp).given
    options.reconnection = command.noReconnect ? nil : ClientOptions.Reconnection(giveUpAfter: giveUp)
    session = try Settings.session.value(of: command.session).given.map(FileSessionStore.init(path:))
    cutsLines = !command.raw
    ending = Conversation.Ending(
      quiet: try Settings.wait.value(of: command.wait).given, halfCloses: command.halfClose)
  }
}
