// swift-tools-version: 6.2
//
// A program with all of the libraries' traits, which shows that they work: tools/test-hooks runs it.

import PackageDescription

let package = Package(
  name: "hooks",
  dependencies: [
    .package(name: "voltlane", path: "../..", traits: ["Logging", "Metrics", "ServiceLifecycle"]),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
  ],
  targets: [
    .executableTarget(
      name: "Hooks",
      dependencies: [
        .product(name: "VoltlaneBackend", package: "voltlane"), .product(name: "VoltlaneClient", package: "voltlane"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
