/// Which module may import which. The one place to change when a target is added.
enum Architecture {
    /// Modules of the operating system and the standard library's own, for targets that touch the world.
    static let system: Set<String> = ["Glibc", "Musl", "Darwin", "Synchronization"]
    static let sockets: Set<String> = ["NIOCore", "NIOPosix", "NIOConcurrencyHelpers"]
    static let http: Set<String> = ["NIOHTTP1", "NIOHPACK", "NIOHTTP2", "SwiftProtobuf"]

    /// From the bottom up: a target imports nothing of this package but what stands above it here, and nothing of
    /// other packages but what its own row names.
    static let allowedImports: [(target: String, imports: Set<String>)] = [
        ("ConsensusTypes", []),
        ("CHoldfastChecksum", []),
        ("RaftCore", ["ConsensusTypes"]),
        ("ByzantineCore", ["ConsensusTypes"]),
        ("KeyValueCore", ["ConsensusTypes"]),
        ("WriteAheadLog", ["ConsensusTypes", "CHoldfastChecksum", "SystemPackage"] + system),
        ("TransportSecurity", ["Logging", "NIOTLS", "NIOSSL"] + sockets + system),
        (
            "PeerTransport",
            ["ConsensusTypes", "CHoldfastChecksum", "TransportSecurity", "Logging"] + sockets + system
        ),
        (
            "ReplicaRuntime",
            [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "PeerTransport", "Logging",
                "DequeModule", "SystemPackage",
            ] + sockets + system
        ),
        (
            "Holdfast",
            [
                "ConsensusTypes", "RaftCore", "WriteAheadLog", "TransportSecurity", "PeerTransport",
                "ReplicaRuntime", "Logging", "Metrics", "ServiceLifecycle", "SystemPackage",
            ] + sockets + system
        ),
        (
            "EtcdAPI",
            ["ConsensusTypes", "KeyValueCore", "TransportSecurity", "ReplicaRuntime", "Logging"] + sockets
                + http + system
        ),
        ("EtcdClient", ["EtcdAPI", "Logging"] + sockets + http + system),
        (
            "HoldfastSimulation",
            [
                "ConsensusTypes", "RaftCore", "KeyValueCore", "WriteAheadLog", "ReplicaRuntime",
                "SystemPackage",
            ]
        ),
        (
            "HoldfastChaos",
            [
                "ConsensusTypes", "EtcdAPI", "EtcdClient", "HoldfastSimulation",
            ] + sockets + http + system
        ),
        (
            "HoldfastCommand",
            [
                "ConsensusTypes", "KeyValueCore", "WriteAheadLog", "TransportSecurity", "PeerTransport",
                "ReplicaRuntime", "EtcdAPI",
                "EtcdClient", "HoldfastSimulation", "HoldfastChaos", "ArgumentParser", "Logging",
                "SystemPackage",
            ] + sockets + http + system
        ),
        // Below Tests, not Sources: what several test targets share.
        ("TestSupport", system),
    ]

    static func allowedImports(of target: String) -> Set<String>? {
        allowedImports.first { $0.target == target }?.imports
    }

    /// Files outside of generated code that import Foundation, and why they must.
    static let foundationUsers: [String: String] = [
        "Sources/EtcdClient/EtcdClient+Calls.swift": "generated messages hold bytes as Data",
        "Sources/EtcdAPI/Services/LeaseMethods.swift": "generated messages hold bytes as Data",
        "Sources/EtcdAPI/Services/MessageConversion.swift": "generated messages hold bytes as Data",
        "Sources/Holdfast/Coding/JSONCoding.swift": "JSON is the default form of a user's commands",
    ]

    /// Targets that may write to standard output: everything else logs, or says it in an error.
    static let printingTargets: Set<String> = ["HoldfastCommand"]

    /// Files over 500 lines, and why they are.
    static let longFiles: [String: String] = [:]

    /// Functions over 70 lines as `path: name`, and why they are.
    static let longFunctions: [String: String] = [:]
}

private func + (left: Set<String>, right: Set<String>) -> Set<String> {
    left.union(right)
}
