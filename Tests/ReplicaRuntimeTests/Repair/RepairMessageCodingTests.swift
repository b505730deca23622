import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

@Suite struct RepairMessageCodingTests {
    private static let metadata = SnapshotMetadata(
        index: LogIndex(100), term: Term(2),
        membership: Membership(voters: [NodeID(1), NodeID(2), NodeID(3)]))
    private static let position = LogPosition(term: Term(3), index: LogIndex(17))

    private static var excerpt: LogExcerpt {
        var excerpt = LogExcerpt()
        excerpt.holdsBoundary = true
        excerpt.firstIndex = LogIndex(4)
        excerpt.snapshot = metadata.position
        excerpt.previous = LogPosition(term: Term(1), index: LogIndex(16))
        excerpt.entries = [
            Entry(
                index: LogIndex(17), term: Term(3), kind: .command,
                proposal: ProposalID(session: 5, sequence: 6), payload: ByteSlice(Array("a command".utf8)))
        ]
        return excerpt
    }

    static let messages: [RepairMessage] =
        [Introduction.Stage.fresh, .underRepair, .active, .forced].map {
            .introduction(
                Introduction(directory: DirectoryID(0xd1), startCount: 7, incarnation: 0xfeed, stage: $0))
        } + [
            .verdict(Verdict(judgement: .behind, incarnation: 0xfeed, knownStartCount: 9)),
            .entriesRequest(
                EntriesRequest(
                    number: 1, group: GroupID(6), boundary: position, through: LogIndex(16),
                    from: LogIndex(4),
                    maximumSizeBytes: 1 << 20)),
            .entries(EntriesAnswer(number: 1, excerpt: excerpt)),
            .entries(EntriesAnswer(number: 1, excerpt: LogExcerpt())),
            .snapshotRequest(
                SnapshotRequest(
                    number: 2, group: GroupID(6), metadata: metadata, offset: 4_096, maximumSizeBytes: 100)),
            .snapshotRequest(
                SnapshotRequest(number: 2, group: GroupID(6), metadata: nil, offset: 0, maximumSizeBytes: 100)
            ),
            .snapshotChunk(
                number: 2,
                SnapshotChunk(
                    metadata: metadata, offset: 4_096, bytes: ByteSlice([1, 2, 3]), isLast: true,
                    sentAt: .zero)),
            .snapshotUnavailable(number: 2),
            .adoptionRequest(number: 3, group: GroupID(6)),
            .adoption(number: 3, position),
            .adoptionRefused(number: 3, leader: NodeID(2)),
            .adoptionRefused(number: 3, leader: nil),
        ]

    @Test(arguments: messages) func everyMessageSurvivesTheWay(message: RepairMessage) throws {
        let bytes = RepairMessageCoding.encode(message)
        #expect(try RepairMessageCoding.decode(ByteSlice(bytes)) == message)
    }

    @Test(arguments: messages) func everyPrefixIsRefused(message: RepairMessage) {
        let whole = RepairMessageCoding.encode(message)
        for count in 0..<whole.count {
            #expect(throws: ByteDecodingError.self) {
                _ = try RepairMessageCoding.decode(ByteSlice(Array(whole[..<count])))
            }
        }
        #expect(throws: ByteDecodingError.self) {
            _ = try RepairMessageCoding.decode(ByteSlice(whole + [0]))
        }
    }

    /// Neither the decoder nor an admission stops for bytes that no node sends.
    @Test func randomBytesStopNobody() {
        var random = SeededRandom(seed: 4)
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let left = world.left(of: 2, without: 5...8)
        world.stop(2)
        world.setLink(1, 2, isUp: false)
        world.setLink(3, 2, isUp: false)
        world.start(2, left: left)
        world.setLink(1, 2, isUp: true)
        for _ in 0..<20_000 {
            var noise = RepairMessageCoding.encode(Self.messages[Int(random.next(below: 16))])
            for _ in 0..<random.next(below: 4) {
                noise[Int(random.next(below: UInt64(noise.count)))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let message = try? RepairMessageCoding.decode(ByteSlice(noise)) else { continue }
            if case .verdict = message { continue }
            for number in 1...2 {
                world[number].admission?.receive(message, from: world[3 - number].id, now: world.now)
                _ = world[number].admission?.takeEffects()
            }
        }
    }

    /// The example in docs/formats/peer-messages.md.
    @Test func theDocumentedBytesAreTheBytes() {
        let documented: [UInt8] = [
            1,  // introduction
            0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // directory
            7, 0, 0, 0, 0, 0, 0, 0,  // start count
            0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0,  // incarnation
            2,  // active
        ]
        let introduction = Introduction(
            directory: DirectoryID(0x1122_3344_5566_7788), startCount: 7, incarnation: 0xdead_beef,
            stage: .active)
        let encoded = RepairMessageCoding.encode(.introduction(introduction))
        #expect(encoded == documented)
        #expect(GroupFrame.encode(encoded, group: GroupID(6)) == [6, 0, 0, 0, 0, 0, 0, 0] + documented)
        #expect(NodeFrameKind.groupAside.rawValue == 4 && NodeFrameKind.groupRepair.rawValue == 5)
    }
}
