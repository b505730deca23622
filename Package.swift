// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
]

let package = Package(
    name: "holdfast",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "holdfast", targets: ["HoldfastCommand"]),
        .library(name: "Holdfast", targets: ["Holdfast"]),
        .library(name: "HoldfastSimulation", targets: ["HoldfastSimulation"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // The order below is the order of dependence: a target imports only what stands above it.
        .target(name: "ConsensusTypes", swiftSettings: settings),
        .target(name: "CHoldfastChecksum"),
        .target(name: "RaftCore", dependencies: ["ConsensusTypes"], swiftSettings: settings),
        .target(name: "KeyValueCore", dependencies: ["ConsensusTypes"], swiftSettings: settings),
        .target(
            name: "WriteAheadLog",
            dependencies: [
                "ConsensusTypes", "CHoldfastChecksum",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "TransportSecurity",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "PeerTransport",
            dependencies: [
                "ConsensusTypes", "CHoldfastChecksum", "TransportSecurity",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "ReplicaRuntime",
            dependencies: [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "PeerTransport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "Holdfast",
            dependencies: [
                "ConsensusTypes", "RaftCore", "WriteAheadLog", "PeerTransport", "ReplicaRuntime",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "EtcdAPI",
            dependencies: [
                "ConsensusTypes", "KeyValueCore", "TransportSecurity", "ReplicaRuntime",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "EtcdClient",
            dependencies: [
                "EtcdAPI",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "HoldfastSimulation",
            dependencies: [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "ReplicaRuntime",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "HoldfastChaos",
            dependencies: [
                "ConsensusTypes", "EtcdAPI", "EtcdClient", "HoldfastSimulation",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "HoldfastCommand",
            dependencies: [
                "ConsensusTypes", "KeyValueCore", "WriteAheadLog", "TransportSecurity", "PeerTransport",
                "ReplicaRuntime", "EtcdAPI", "HoldfastSimulation", "HoldfastChaos",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        // What several test targets share.
        .target(
            name: "TestSupport",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ],
            path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(
            name: "ConsensusTypesTests", dependencies: ["ConsensusTypes"], swiftSettings: settings),
        .testTarget(
            name: "RaftCoreTests", dependencies: ["ConsensusTypes", "RaftCore"],
            exclude: ["Scenarios"], swiftSettings: settings),
        .testTarget(
            name: "KeyValueCoreTests", dependencies: ["ConsensusTypes", "KeyValueCore"],
            swiftSettings: settings),
        .testTarget(
            name: "WriteAheadLogTests",
            dependencies: [
                "ConsensusTypes", "CHoldfastChecksum", "WriteAheadLog",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "PeerTransportTests",
            dependencies: [
                "ConsensusTypes", "CHoldfastChecksum", "TransportSecurity", "PeerTransport", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "EtcdAPITests",
            dependencies: [
                "ConsensusTypes", "KeyValueCore", "TransportSecurity", "ReplicaRuntime", "EtcdAPI",
                "EtcdClient", "TestSupport",
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ReplicaRuntimeTests",
            dependencies: [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "PeerTransport",
                "ReplicaRuntime", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "ReplicaRuntime",
                "HoldfastSimulation",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ChaosTests",
            dependencies: [
                "ConsensusTypes", "HoldfastSimulation", "HoldfastChaos", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "HoldfastTests",
            dependencies: [
                "ConsensusTypes", "RaftCore", "ReplicaRuntime", "HoldfastSimulation", "Holdfast",
                "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "EtcdAPI", "EtcdClient", "HoldfastChaos", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "StructureTests", swiftSettings: settings),
    ]
)
