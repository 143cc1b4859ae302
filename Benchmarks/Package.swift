// swift-tools-version: 6.2
//
// Voltlane's benchmarks, a package of its own so that users of the libraries never build it. README.md says how to run
// it and what the figures mean.

import PackageDescription

let package = Package(
  name: "voltlane-benchmarks",
  products: [
    .executable(name: "voltlane-bench", targets: ["voltlane-bench"]),
    .executable(name: "nio-relay", targets: ["nio-relay"]),
    .executable(name: "library-bench", targets: ["library-bench"]),
  ],
  dependencies: [
    // By name, because the name of the directory is the user's.
    .package(name: "voltlane", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.100.0"),
  ],
  targets: [
    // Flags; thin.
    .executableTarget(
      name: "voltlane-bench",
      dependencies: [
        "Load", .product(name: "VoltlaneWire", package: "voltlane"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Sources/VoltlaneBench"),
    // The load, the backend and the readings: one module, so that whole-module optimisation sees all of it.
    .target(
      name: "Load",
      dependencies: [
        "CBench", .product(name: "VoltlaneWire", package: "voltlane"),
        .product(name: "VoltlaneCrypto", package: "voltlane"),
      ]),
    .systemLibrary(name: "CBench"),
    // The Swift libraries, in the loops that their users write.
    .executableTarget(
      name: "library-bench",
      dependencies: [
        .product(name: "VoltlaneBackend", package: "voltlane"), .product(name: "VoltlaneClient", package: "voltlane"),
        .product(name: "VoltlaneWire", package: "voltlane"),
      ],
      path: "Sources/LibraryBench"),
    // A peer: the relay that one writes with SwiftNIO.
    .executableTarget(
      name: "nio-relay",
      dependencies: [
        .product(name: "VoltlaneWire", package: "voltlane"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "peers/nio-relay"),
    .testTarget(
      name: "LoadTests",
      dependencies: [
        "Load", "voltlane-bench", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
