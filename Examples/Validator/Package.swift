// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "validator",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "holdfast", path: "../.."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .target(
            name: "ValidatorCore",
            dependencies: [
                .product(name: "Holdfast", package: "holdfast"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .executableTarget(
            name: "Validator",
            dependencies: ["ValidatorCore", .product(name: "Logging", package: "swift-log")]),
        .testTarget(name: "ValidatorTests", dependencies: ["ValidatorCore", "Validator"]),
    ],
    swiftLanguageModes: [.v6]
)
