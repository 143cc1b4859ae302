import Relay

/// Whether a running relay takes another value of a setting, and which values protect less than before.
enum Reloading: Sendable {
  /// At the next start only.
  case no
  /// By SIGHUP; no value protects more than another.
  case yes
  /// By SIGHUP; `isLowered` says whether the second configuration protects less than the first. That is logged as a
  /// warning, because a file that lost a line by mistake looks like an intended one.
  case guarded(isLowered: @Sendable (RelayConfiguration, RelayConfiguration) -> Bool)

  var isPossible: Bool { if case .no = self { false } else { true } }

  /// A limit: a larger one protects less.
  static func guarded<Value: Comparable & SendableMetatype>(
    raised value: KeyPath<RelayConfiguration, Value> & Sendable
  ) -> Reloading {
    .guarded { $1[keyPath: value] > $0[keyPath: value] }
  }

  /// A limit; nil means none.
  static func guarded<Value: Comparable & SendableMetatype>(
    raised value: KeyPath<RelayConfiguration, Value?> & Sendable
  ) -> Reloading {
    .guarded { old, new in
      guard let old = old[keyPath: value] else { return false }
      return new[keyPath: value].map { $0 > old } ?? true
    }
  }

  /// A rate; nil means none.
  static func guarded(raised value: KeyPath<RelayConfiguration, Rate?> & Sendable) -> Reloading {
    .guarded { old, new in
      guard let old = old[keyPath: value] else { return false }
      return new[keyPath: value].map { $0.allowsMore(than: old) } ?? true
    }
  }

  /// Addresses that are kept out: fewer protect less.
  static func guarded(shrunk networks: KeyPath<RelayConfiguration, [Network]> & Sendable) -> Reloading {
    .guarded { !$1[keyPath: networks].cover($0[keyPath: networks]) }
  }

  /// Addresses that are exempt or trusted: more protect less.
  static func guarded(grown networks: KeyPath<RelayConfiguration, [Network]> & Sendable) -> Reloading {
    .guarded { !$0[keyPath: networks].cover($1[keyPath: networks]) }
  }
}

extension Rate {
  /// In the long run or at once.
  fileprivate func allowsMore(than other: Rate) -> Bool {
    burst > other.burst || perMinute > other.perMinute
  }

  private var perMinute: Int { count * Int(Period.minute.rawValue / period.rawValue) }
}

extension [Network] {
  /// Whether every address of `others` is in these.
  func cover(_ others: [Network]) -> Bool {
    others == self || Network.cover(self, others)
  }
}
