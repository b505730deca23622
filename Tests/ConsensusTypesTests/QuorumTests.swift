import ConsensusTypes
import Testing

@Suite struct QuorumTests {
    @Test func majorities() {
        #expect((0...7).map(Membership.majority(of:)) == [1, 1, 2, 2, 3, 3, 4, 4])
    }
}
