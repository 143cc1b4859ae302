// swift-tools-version: 6.2
//
// Voltlane's benchmarks, a package of its own so that users of the libraries never build it. README.md says how to run
// it and what the figures mean.

import PackageDescription

let package = Package(
  name: "voltlane-benchmarks",
  products: [.executable(name: "voltlane-bench", targets: ["voltlane-bench"])],
  dependencies: [
    // By name, because the name of the directory is the user's.
    .package(name: "voltlane", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    // Flags and output; thin.
    .executableTarget(
      name: "voltlane-bench",
      dependencies: ["EchoLoad", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Sources/VoltlaneBench"),
    // The load, the echo backend and the readings: one module, so that whole-module optimisation sees all of it.
    .target(name: "EchoLoad", dependencies: ["CEpoll", .product(name: "VoltlaneWire", package: "voltlane")]),
    .systemLibrary(name: "CEpoll"),
    .testTarget(name: "EchoLoadTests", dependencies: ["EchoLoad"]),
  ],
  swiftLanguageModes: [.v6]
)
