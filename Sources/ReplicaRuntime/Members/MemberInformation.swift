import ConsensusTypes
import PeerTransport

/// What a cluster knows of a member beside its rights: what ``ConsensusTypes/MemberDescription/information``
/// holds. docs/formats/member-information.md shows the bytes.
public struct MemberInformation: Hashable, Sendable {
    /// Where a member listens for the others.
    public struct Address: Hashable, Sendable, CustomStringConvertible {
        /// A host name, or an IPv4 or IPv6 address without brackets.
        public let host: String
        public let port: Int

        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        public var description: String {
            "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    public static let maximumNameSizeBytes = 1_024
    public static let maximumAddresses = 16
    public static let maximumHostSizeBytes = 255
    public static let maximumURLSizeBytes = 1_024
    private static let version: UInt8 = 1

    public var name: String
    public var peerAddresses: [Address]
    public var clientURLs: [String]

    public init(name: String, peerAddresses: [Address], clientURLs: [String] = []) {
        self.name = name
        self.peerAddresses = peerAddresses
        self.clientURLs = clientURLs
    }

    /// Why this cannot be written down, in one line, or `nil`.
    public var problem: String? {
        if name.utf8.count > Self.maximumNameSizeBytes {
            return "the name has \(name.utf8.count) bytes and may have \(Self.maximumNameSizeBytes)"
        }
        if peerAddresses.count > Self.maximumAddresses || clientURLs.count > Self.maximumAddresses {
            return "a member may have at most \(Self.maximumAddresses) addresses of each kind"
        }
        for address in peerAddresses {
            if address.host.isEmpty || address.host.utf8.count > Self.maximumHostSizeBytes {
                return "a host must have 1 to \(Self.maximumHostSizeBytes) bytes"
            }
            if !(0...65_535).contains(address.port) { return "port \(address.port) does not exist" }
        }
        if clientURLs.contains(where: { $0.utf8.count > Self.maximumURLSizeBytes }) {
            return "a client address may have at most \(Self.maximumURLSizeBytes) bytes"
        }
        let sizeBytes = encodeUnchecked().count
        if sizeBytes > MemberDescription.maximumInformationSizeBytes {
            return "name and addresses take \(sizeBytes) bytes together and may take "
                + "\(MemberDescription.maximumInformationSizeBytes)"
        }
        return nil
    }

    /// What has no ``problem``.
    public func encode() -> ByteSlice {
        if let problem { preconditionFailure("information on a member cannot be written down: \(problem)") }
        return ByteSlice(encodeUnchecked())
    }

    private func encodeUnchecked() -> [UInt8] {
        var writer = ByteWriter(reserving: 128)
        writer.write(Self.version)
        writer.writeSized(Array(name.utf8))
        writer.write(UInt8(truncatingIfNeeded: peerAddresses.count))
        for address in peerAddresses {
            writer.writeSized(Array(address.host.utf8))
            writer.write(UInt32(truncatingIfNeeded: address.port))
        }
        writer.write(UInt8(truncatingIfNeeded: clientURLs.count))
        for url in clientURLs {
            writer.writeSized(Array(url.utf8))
        }
        return writer.bytes
    }

    public static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> MemberInformation {
        var reader = ByteReader(bytes)
        let found = try reader.readUInt8()
        guard found == version else {
            throw ByteDecodingError(offset: 0, reason: "information of version \(found) is not known")
        }
        let name = try text(&reader, maximumSizeBytes: maximumNameSizeBytes)
        var addresses: [Address] = []
        for _ in 0..<(try count(&reader)) {
            let host = try text(&reader, maximumSizeBytes: maximumHostSizeBytes)
            let port = Int(try reader.readUInt32())
            guard !host.isEmpty, port <= 65_535 else {
                throw ByteDecodingError(offset: reader.offset, reason: "'\(host)', port \(port): no address")
            }
            addresses.append(Address(host: host, port: port))
        }
        var urls: [String] = []
        for _ in 0..<(try count(&reader)) {
            urls.append(try text(&reader, maximumSizeBytes: maximumURLSizeBytes))
        }
        try reader.requireEnd()
        return MemberInformation(name: name, peerAddresses: addresses, clientURLs: urls)
    }

    private static func count(_ reader: inout ByteReader) throws(ByteDecodingError) -> Int {
        let count = Int(try reader.readUInt8())
        guard count <= maximumAddresses else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "\(count) addresses are too many")
        }
        return count
    }

    private static func text(
        _ reader: inout ByteReader, maximumSizeBytes: Int
    ) throws(ByteDecodingError) -> String {
        let offset = reader.offset
        let bytes = try reader.readSized()
        guard bytes.count <= maximumSizeBytes else {
            throw ByteDecodingError(offset: offset, reason: "a text of \(bytes.count) bytes is too long")
        }
        guard let text = String(validating: bytes.bytes, as: UTF8.self) else {
            throw ByteDecodingError(offset: offset, reason: "a text is not UTF-8")
        }
        return text
    }
}

extension MemberDescription {
    /// A member with its name and addresses, which must have no ``MemberInformation/problem``.
    public init(
        node: NodeID, priority: UInt8 = MemberDescription.defaultPriority, _ information: MemberInformation
    ) {
        self.init(node: node, priority: priority, information: information.encode())
    }

    /// What is known of the member; `nil` where nothing is, or it cannot be read.
    public var memberInformation: MemberInformation? {
        information.isEmpty ? nil : try? MemberInformation.decode(information)
    }

    /// Where the node listens for others, as far as that is known.
    public var peerAddress: PeerAddress? {
        guard let addresses = memberInformation?.peerAddresses, let first = addresses.first else {
            return nil
        }
        return PeerAddress(
            node: node, host: first.host, port: first.port,
            alternatives: addresses.dropFirst().map {
                PeerAddress.Alternative(host: $0.host, port: $0.port)
            })
    }
}

extension Membership {
    /// Voters of which only the addresses are known.
    public init(voters: [PeerAddress]) {
        self.init(
            voters: voters.map(\.node),
            descriptions: voters.map { address in
                let information = MemberInformation(
                    name: "",
                    peerAddresses: [.init(host: address.host, port: address.port)]
                        + address.alternatives.map { .init(host: $0.host, port: $0.port) })
                return information.problem == nil
                    ? MemberDescription(node: address.node, information)
                    : MemberDescription(node: address.node)
            })
    }
}
