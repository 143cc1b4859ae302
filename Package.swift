// swift-tools-version: 6.2
//
// Voltlane: an edge relay. README.md says what it is; Sources/Relay/Relay.swift is the first file to read.

import PackageDescription

/// The protocol and control code is checked for unsafe constructs; the data plane fences its own (tools/check).
let safe: [SwiftSetting] = [.strictMemorySafety()]

/// A program carries an id of its build, which a crash names. Flags like this one are allowed where nobody else's
/// package depends on the target.
let identified: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "--build-id=sha1"])]

/// What traits add to the libraries; off by default.
let hooks: [Target.Dependency] = [
  .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Logging"])),
  .product(name: "Metrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
  .product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["ServiceLifecycle"])),
]

let package = Package(
  name: "voltlane",
  products: [
    .executable(name: "voltlane", targets: ["Voltlane"]),
    .executable(name: "voltlane-connect", targets: ["VoltlaneConnect"]),
    .executable(name: "voltlane-echo", targets: ["VoltlaneEcho"]),
    .executable(name: "voltlane-ctl", targets: ["VoltlaneCtl"]),
    .library(name: "VoltlaneWire", targets: ["VoltlaneWire"]),
    .library(name: "VoltlaneCrypto", targets: ["VoltlaneCrypto"]),
    .library(name: "VoltlaneClient", targets: ["VoltlaneClient"]),
    .library(name: "VoltlaneBackend", targets: ["VoltlaneBackend"]),
  ],
  traits: [
    .trait(name: "Logging", description: "Clients and backends log to swift-log: log(to:)."),
    .trait(name: "Metrics", description: "Clients and backends report to swift-metrics: report(to:)."),
    .trait(name: "ServiceLifecycle", description: "Clients and backends are services of swift-service-lifecycle."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.100.0"),
    // Only for those who enable the traits: SwiftPM leaves them out otherwise.
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
  ],
  targets: [
    // The programs: thin, each reads like a table of contents.
    .executableTarget(
      name: "Voltlane",
      dependencies: [
        "Relay", "VoltlaneCrypto", "VoltlaneWire", "VoltlaneText", "VoltlaneSettings",
        "VoltlaneService", "VoltlaneNIO", "CLinux", "CStatusPage",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ],
      exclude: ["Admin/status.html"], swiftSettings: safe, linkerSettings: identified),
    .executableTarget(
      name: "VoltlaneConnect",
      dependencies: [
        "VoltlaneClient", "VoltlaneNIO", "VoltlaneCrypto", "VoltlaneWire", "VoltlaneText", "VoltlaneSettings",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: safe, linkerSettings: identified),
    .executableTarget(
      name: "VoltlaneEcho",
      dependencies: [
        "VoltlaneBackend", "VoltlaneNIO", "VoltlaneWire", "VoltlaneText", "VoltlaneSettings", "VoltlaneService",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: safe, linkerSettings: identified),
    .executableTarget(
      name: "VoltlaneCtl",
      dependencies: [
        "VoltlaneText", "VoltlaneSettings", "CLinux",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: safe, linkerSettings: identified),

    // What the programs share: how a flag is defined, read and refused, and their version.
    .target(
      name: "VoltlaneSettings",
      dependencies: ["VoltlaneText", "CLinux", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: safe),

    // What the programs that only wait share: the signals that end them, and an echo backend beside the main thread.
    .target(
      name: "VoltlaneService", dependencies: ["VoltlaneBackend", "VoltlaneText", "CLinux"], swiftSettings: safe),

    // Examples, which the documentation explains. No products.
    .executableTarget(
      name: "ChatServer", dependencies: ["VoltlaneBackend"], path: "Sources/Examples/ChatServer", swiftSettings: safe),
    .executableTarget(
      name: "ChatClient",
      dependencies: ["VoltlaneClient", .product(name: "NIOPosix", package: "swift-nio")],
      path: "Sources/Examples/ChatClient", swiftSettings: safe),
    .target(
      name: "LobbyPackets", dependencies: [.product(name: "NIOCore", package: "swift-nio")],
      path: "Sources/Examples/LobbyPackets", swiftSettings: safe),
    .executableTarget(
      name: "LobbyServer", dependencies: ["LobbyPackets", "VoltlaneBackend"], path: "Sources/Examples/LobbyServer",
      swiftSettings: safe),
    .executableTarget(
      name: "LobbyBot", dependencies: ["LobbyPackets", "VoltlaneClient"], path: "Sources/Examples/LobbyBot",
      swiftSettings: safe),

    // What users build on.
    .target(
      name: "VoltlaneClient",
      dependencies: [
        "VoltlaneWire", "VoltlaneText", "VoltlaneCrypto", "VoltlaneNIO",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      ] + hooks,
      swiftSettings: safe),
    .target(
      name: "VoltlaneBackend",
      dependencies: [
        "VoltlaneWire", "VoltlaneText", "VoltlaneNIO",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      ] + hooks,
      swiftSettings: safe),

    // What the two libraries share: packets cut from a stream, queues bounded in bytes.
    .target(
      name: "VoltlaneNIO",
      dependencies: [
        "VoltlaneWire", "VoltlaneText",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: safe),

    // The bytes, the keys, and what people write and read: addresses, ids. Pure: no I/O, no threads.
    .target(name: "VoltlaneWire", swiftSettings: safe),
    .target(name: "VoltlaneCrypto", dependencies: ["VoltlaneText", "CSodium", "CSecp256k1"], swiftSettings: safe),
    .target(name: "VoltlaneText", swiftSettings: safe),

    // The data plane: one module, so that whole-module optimisation sees all of it.
    .target(
      name: "Relay", dependencies: ["VoltlaneWire", "VoltlaneText", "VoltlaneCrypto", "CLiburing", "CLinux"],
      // For spans of memory that a method returns.
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]),

    // The relay in a simulated world. It looks into the relay's module, as debug builds and tools/sim allow. No
    // product.
    .target(
      name: "Simulation", dependencies: ["Relay", "VoltlaneWire", "VoltlaneCrypto"],
      swiftSettings: [.define("TESTABLE", .when(configuration: .debug))]),
    .executableTarget(
      name: "voltlane-sim", dependencies: ["Simulation", "CAllocatorDoor"], path: "Sources/VoltlaneSim",
      swiftSettings: [.define("TESTABLE", .when(configuration: .debug))]),

    // The status page, as bytes of the program.
    .target(name: "CStatusPage"),

    // Where the simulator's process asks for memory.
    .target(name: "CAllocatorDoor"),

    // C, fenced.
    .systemLibrary(name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.apt(["libsecp256k1-dev"])]),
    .target(name: "CLinux"),

    // System calls that the kernel refuses, for a thread of a test or for a program.
    .target(name: "CRefusal", path: "Tests/CRefusal"),
    .executableTarget(name: "Refusing", dependencies: ["CRefusal"], path: "Tests/Refusing"),

    // A network of its own for a thread of a test.
    .target(name: "CNamespace", path: "Tests/CNamespace"),

    // A file that hangs, for tests.
    .target(name: "CHang", path: "Tests/CHang"),

    // The Swift libraries' part in the interop tests. Optimized, as it computes a CRC of every byte.
    .executableTarget(
      name: "InteropPeer", dependencies: ["VoltlaneClient", "VoltlaneBackend", "VoltlaneText"],
      path: "Tests/InteropPeer", swiftSettings: [.unsafeFlags(["-O"])]),

    .target(name: "Vectors", path: "Tests/Vectors", resources: [.embedInCode("vectors.json")]),
    .testTarget(name: "VoltlaneWireTests", dependencies: ["VoltlaneWire", "Vectors"]),
    .testTarget(name: "VoltlaneTextTests", dependencies: ["VoltlaneText"]),
    .testTarget(
      name: "VoltlaneTests",
      dependencies: [
        "Voltlane", "VoltlaneConnect", "VoltlaneCtl", "VoltlaneEcho", "Relay", "VoltlaneSettings", "VoltlaneText",
        "Refusing", "CHang",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ]),
    .testTarget(
      name: "LibraryTests",
      dependencies: [
        "VoltlaneClient", "VoltlaneBackend", "VoltlaneConnect", "VoltlaneEcho", "VoltlaneNIO", "VoltlaneWire",
        "VoltlaneCrypto", "VoltlaneText", "VoltlaneSettings", "ChatServer", "ChatClient", "LobbyPackets",
        "LobbyServer", "LobbyBot", "Voltlane",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ]),
    .testTarget(name: "VoltlaneCryptoTests", dependencies: ["VoltlaneCrypto", "Vectors"]),
    // With what reads texts, because every place at which bytes enter is fuzzed in the same way.
    .testTarget(
      name: "RelayTests",
      dependencies: [
        "Relay", "VoltlaneWire", "VoltlaneCrypto", "CRefusal", "Voltlane", "VoltlaneConnect", "VoltlaneClient",
        "VoltlaneSettings",
      ]),
    // Explores small models exhaustively, which is a matter of speed: optimised in debug builds, too.
    .testTarget(name: "ModelTests", swiftSettings: [.unsafeFlags(["-O"])]),
    .testTarget(
      name: "RelaySocketTests", dependencies: ["Relay", "VoltlaneWire", "VoltlaneCrypto", "Vectors", "CNamespace"]),
  ],
  swiftLanguageModes: [.v6]
)

// What builds the documentation's site (tools/docs). Nobody who uses the libraries gets it.
if Context.environment["VOLTLANE_DOCS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"))
}

/// Moves packets through the data plane without sockets, so that tools/check-instructions can count instructions. It
/// compiles the relay's sources once more, into its own module, and is there only for who asks for it.
if Context.environment["VOLTLANE_REPLAY"] != nil {
  package.targets.append(
    .executableTarget(
      name: "VoltlaneReplay",
      dependencies: ["VoltlaneWire", "VoltlaneText", "VoltlaneCrypto", "CLiburing", "CLinux"],
      swiftSettings: [.enableExperimentalFeature("Lifetimes")]))
}

// tools/sanitize builds the tests of the relay alone, without programs and libraries, each of which would be built once
// more for every sanitizer.
if Context.environment["VOLTLANE_SANITIZE"] != nil {
  package.products = []
  package.dependencies = []
  let names = [
    "Relay", "VoltlaneWire", "VoltlaneCrypto", "VoltlaneText", "CLiburing", "CSodium", "CSecp256k1", "CLinux",
    "CRefusal", "CNamespace", "Vectors", "RelaySocketTests",
  ]
  package.targets = package.targets.filter { names.contains($0.name) }
  package.targets.append(
    .testTarget(
      name: "RelayTests", dependencies: ["Relay", "VoltlaneWire", "VoltlaneCrypto", "CRefusal"],
      exclude: ["Fuzzing", "FuzzTests.swift"]))
}
