import ConsensusTypes
import Foundation
import PeerTransport
import Testing

@testable import ReplicaRuntime

@Suite struct MemberInformationTests {
    private let information = MemberInformation(
        name: "n1", peerAddresses: [.init(host: "h1", port: 2_380), .init(host: "::1", port: 0)],
        clientURLs: ["http://h1:2379"])

    @Test func itSurvivesTheWay() throws {
        #expect(try MemberInformation.decode(information.encode()) == information)
        let empty = MemberInformation(name: "", peerAddresses: [])
        #expect(try MemberInformation.decode(empty.encode()) == empty)
        let description = MemberDescription(node: NodeID(3), information)
        #expect(description.memberInformation == information)
        #expect(
            description.peerAddress
                == PeerAddress(
                    node: NodeID(3), host: "h1", port: 2_380, alternatives: [.init(host: "::1", port: 0)]))
        #expect(MemberDescription(node: NodeID(3)).memberInformation == nil)
    }

    @Test func bytesAreAsDocumented() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/formats/member-information.md")
        let text = try String(contentsOf: document, encoding: .utf8)
        let block = try #require(text.components(separatedBy: "<!-- bytes: member-information -->").last)
        var bytes: [UInt8] = []
        for line in block.split(separator: "\n").dropFirst(2) {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count >= 2 else { break }
            #expect(Int(cells[0].filter { $0 != "`" }, radix: 16) == bytes.count)
            for digits in cells[1].filter({ $0 != "`" }).split(separator: " ") {
                bytes.append(try #require(UInt8(digits, radix: 16)))
            }
        }
        let documented = MemberInformation(name: "n1", peerAddresses: [.init(host: "h1", port: 2_380)])
        #expect(documented.encode().bytes == bytes)
    }

    @Test func everyTruncationAndAChangedVersionAreErrors() {
        let bytes = information.encode().bytes
        for count in 0..<bytes.count {
            #expect(throws: ByteDecodingError.self) {
                try MemberInformation.decode(ByteSlice(bytes, 0..<count))
            }
        }
        #expect(throws: ByteDecodingError.self) {
            try MemberInformation.decode(ByteSlice([2] + bytes.dropFirst()))
        }
        #expect(throws: ByteDecodingError.self) { try MemberInformation.decode(ByteSlice(bytes + [0])) }
    }

    @Test func hostileCountsAreErrors() {
        for bytes in [
            [1, 255, 255, 255, 255], [1, 0, 0, 0, 0, 17], [1, 0, 0, 0, 0, 0, 17],
            [1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 97, 0, 0, 1, 0, 0], [1, 1, 0, 0, 0, 0xff, 0, 0],
        ] as [[UInt8]] {
            #expect(throws: ByteDecodingError.self) { try MemberInformation.decode(ByteSlice(bytes)) }
        }
    }

    @Test func whatCannotBeWrittenDownHasAProblem() {
        #expect(information.problem == nil)
        var changed = information
        changed.name = String(repeating: "a", count: 1_025)
        #expect(changed.problem?.contains("the name has 1025 bytes") == true)
        changed = information
        changed.peerAddresses = Array(repeating: .init(host: "a", port: 1), count: 17)
        #expect(changed.problem != nil)
        changed.peerAddresses = [.init(host: "", port: 1)]
        #expect(changed.problem != nil)
        changed.peerAddresses = [.init(host: "a", port: 65_536)]
        #expect(changed.problem != nil)
        changed = information
        changed.clientURLs = Array(repeating: String(repeating: "u", count: 1_024), count: 4)
        #expect(changed.problem?.contains("take") == true)
    }
}
