// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "bank-ledger",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "holdfast", path: "../..")
    ],
    targets: [
        .target(
            name: "BankLedger",
            dependencies: [.product(name: "HoldfastSimulation", package: "holdfast")]),
        .testTarget(
            name: "BankLedgerTests",
            dependencies: [
                "BankLedger", .product(name: "HoldfastSimulation", package: "holdfast"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
