// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "elect-leader",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "holdfast", path: "../..")],
    targets: [
        .executableTarget(
            name: "ElectLeader", dependencies: [.product(name: "Holdfast", package: "holdfast")])
    ],
    swiftLanguageModes: [.v6]
)
