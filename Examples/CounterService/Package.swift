// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "counter-service",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "holdfast", path: "../.."),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    ],
    targets: [
        .executableTarget(
            name: "CounterService",
            dependencies: [
                .product(name: "Holdfast", package: "holdfast"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
