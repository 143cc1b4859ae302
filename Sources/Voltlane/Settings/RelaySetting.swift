import ArgumentParser
import Relay
import VoltlaneSettings

/// A setting of the relay, in one declaration: name, kind, default and meaning, whether a reload may change it, and
/// where its value goes. The flag and its help, the names in environment and file, the table in the documentation,
/// every error, and what a reload reports follow from it.
struct RelaySetting<Value: Sendable>: DeclaredSetting {
  let setting: Setting<Value>
  let reload: Reloading
  private let putInPlace: Place
  private let decideUndecided: Decide

  /// Puts values where they belong. Throws if one of them names something that does not exist.
  private typealias Place =
    @Sendable (_ values: [Value], inout ProgramConfiguration, SettingsFiles) throws(WrongValue) -> Void
  /// Decides what was left to the program, once everything that was given is in its place.
  private typealias Decide = @Sendable (inout ProgramConfiguration, Machine) -> Void

  var entry: SettingEntry { setting.entry }
  var name: String { setting.name }
  var option: Option<[Given]> { Option(wrappedValue: [], setting) }

  private init(_ setting: Setting<Value>, _ reload: Reloading, place: @escaping Place, decide: @escaping Decide) {
    var setting = setting
    setting.isReloadable = reload.isPossible
    self.setting = setting
    self.reload = reload
    putInPlace = place
    decideUndecided = decide
  }

  func place(
    _ given: GivenSettings, in program: inout ProgramConfiguration, _ files: SettingsFiles
  ) throws(SettingError) {
    let values = setting.isRepeatable ? try given.values(of: self) : [try given.value(of: self)]
    do throws(WrongValue) {
      try putInPlace(values, &program, files)
    } catch {
      throw setting.error(given[self][error.index], error.refusal)
    }
  }

  func decide(in program: inout ProgramConfiguration, on machine: Machine) { decideUndecided(&program, machine) }

  /// A conflict between the value given, or the default, and other settings.
  func error(_ given: GivenSettings, at index: Int = 0, _ reason: String) -> SettingError {
    let texts = given[self]
    return setting.error(texts.isEmpty ? setting.defaultGiven : texts[index], .because(reason))
  }
}

/// What can be done with a setting, whatever the type of its values.
protocol DeclaredSetting: Sendable {
  var entry: SettingEntry { get }
  var reload: Reloading { get }
  /// The flag, for ArgumentParser.
  var option: Option<[Given]> { get }
  func place(_: GivenSettings, in: inout ProgramConfiguration, _: SettingsFiles) throws(SettingError)
  func decide(in: inout ProgramConfiguration, on: Machine)
}

/// The value at `index` of those given cannot be put in place.
struct WrongValue: Error {
  let index: Int
  let refusal: Refusal
}

// MARK: Where a value goes

extension RelaySetting {
  /// `place` says where.
  init(
    _ setting: Setting<Value>, reload: Reloading, place: @escaping @Sendable (Value, inout ProgramConfiguration) -> Void
  ) {
    self.init(setting, reload, place: { values, program, _ in place(values[0], &program) }, decide: { _, _ in })
  }

  /// All values that were given.
  init(
    _ setting: Setting<Value>, reload: Reloading,
    placeAll: @escaping @Sendable ([Value], inout ProgramConfiguration) -> Void
  ) {
    self.init(setting, reload, place: { values, program, _ in placeAll(values, &program) }, decide: { _, _ in })
  }

  /// To a field of the relay's configuration.
  init(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Value> & Sendable
  ) {
    self.init(setting, reload: reload) { value, program in program.relay[keyPath: field] = value }
  }

  /// To a field that counts bytes.
  init(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Int> & Sendable
  ) where Value == ByteSize {
    self.init(setting, reload: reload) { value, program in program.relay[keyPath: field] = value.bytes }
  }

  /// To a field that is nil for the word that means none.
  init<Field>(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Field?> & Sendable
  ) where Value == Automatic<Field> {
    self.init(setting, reload: reload) { value, program in program.relay[keyPath: field] = value.given }
  }

  /// To a field for which `decide` finds a value if that is left to the program; the log says which.
  init<Field>(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Field> & Sendable,
    decide: @escaping @Sendable (ProgramConfiguration, Machine) -> Field
  ) where Value == Automatic<Field> {
    self.init(setting, reload, as: { $0 }, to: field, decide: decide)
  }

  /// The same for bytes.
  init(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Int> & Sendable,
    decide: @escaping @Sendable (ProgramConfiguration, Machine) -> ByteSize
  ) where Value == Automatic<ByteSize> {
    self.init(setting, reload, as: \.bytes, to: field, decide: decide)
  }

  /// The same for a count that may have no limit.
  init(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, Int?> & Sendable,
    decide: @escaping @Sendable (ProgramConfiguration, Machine) -> Limit
  ) where Value == Automatic<Limit> {
    self.init(setting, reload, as: \.count, to: field, decide: decide)
  }

  private init<Read, Field>(
    _ setting: Setting<Value>, _ reload: Reloading, as convert: @escaping @Sendable (Read) -> Field,
    to field: WritableKeyPath<RelayConfiguration, Field> & Sendable,
    decide: @escaping @Sendable (ProgramConfiguration, Machine) -> Read
  ) where Value == Automatic<Read> {
    let name = setting.name
    self.init(
      setting, reload,
      place: { values, program, _ in
        if let value = values[0].given {
          program.relay[keyPath: field] = convert(value)
        } else {
          program.undecided.insert(name)
        }
      },
      decide: { program, machine in
        guard program.undecided.remove(name) != nil else { return }
        let value = decide(program, machine)
        program.relay[keyPath: field] = convert(value)
        program.decisions.append((name, "\(value)"))
      })
  }

  /// To a list of networks, including those in files. `others` takes whatever else an entry may mean.
  init(
    _ setting: Setting<Value>, reload: Reloading, to field: WritableKeyPath<RelayConfiguration, [Network]> & Sendable,
    others: @escaping @Sendable ([NetworkEntry], inout ProgramConfiguration) -> Void = { _, _ in }
  ) where Value == NetworkEntry {
    self.init(
      setting, reload,
      place: { entries, program, files throws(WrongValue) in
        var networks: [Network] = []
        for (index, entry) in entries.enumerated() {
          networks += [entry.network].compactMap { $0 }
          guard let file = entry.file else { continue }
          program.listFiles.append(file)
          do throws(FileError) {
            networks += try files.networks(file)
          } catch {
            throw WrongValue(index: index, refusal: .because(error.description))
          }
        }
        program.relay[keyPath: field] = networks
        others(entries, &program)
      }, decide: { _, _ in })
  }
}
