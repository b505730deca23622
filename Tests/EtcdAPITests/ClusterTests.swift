import EtcdClient
import ReplicaRuntime
import Testing

@testable import EtcdAPI

@Suite("etcdserverpb.Cluster and MoveLeader")
struct ClusterTests {
    @Test("Members are added, changed, promoted and removed, and every answer lists them")
    func change() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var add = Etcdserverpb_MemberAddRequest()
            add.peerUrls = ["http://127.0.0.1:9999"]
            add.isLearner = true
            let added: Etcdserverpb_MemberAddResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberAdd", add)
            #expect(added.member.id == 0xA2 && added.member.isLearner)
            #expect(added.member.peerUrls == ["http://127.0.0.1:9999"])
            #expect(added.members.map(\.id) == [0xA1, 0xA2])
            #expect(added.header.clusterID == 0xC1 && added.header.revision == 0)

            var update = Etcdserverpb_MemberUpdateRequest()
            update.id = 0xA2
            update.peerUrls = ["http://127.0.0.1:8888"]
            let updated: Etcdserverpb_MemberUpdateResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberUpdate", update)
            #expect(updated.members.last?.peerUrls == ["http://127.0.0.1:8888"])

            var promote = Etcdserverpb_MemberPromoteRequest()
            promote.id = 0xA2
            let promoted: Etcdserverpb_MemberPromoteResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberPromote", promote)
            #expect(promoted.members.allSatisfy { !$0.isLearner })

            var remove = Etcdserverpb_MemberRemoveRequest()
            remove.id = 0xA2
            let removed: Etcdserverpb_MemberRemoveResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberRemove", remove)
            #expect(removed.members.map(\.id) == [0xA1])
            #expect(
                try await server.with { $0.changes } == [
                    .add(peerURLs: ["http://127.0.0.1:9999"], isLearner: true),
                    .update(0xA2, peerURLs: ["http://127.0.0.1:8888"]), .promote(0xA2), .remove(0xA2),
                ])
        }
    }

    @Test("The leadership moves")
    func move() async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            var request = Etcdserverpb_MoveLeaderRequest()
            request.targetID = 0xA9
            let _: Etcdserverpb_MoveLeaderResponse = try await client.call(
                "/etcdserverpb.Maintenance/MoveLeader", request)
            #expect(try await server.with { $0.leader } == 0xA9)
            try await server.with { $0.clusterFailure = .notLeader }
            let refused = await failure {
                let _: Etcdserverpb_MoveLeaderResponse = try await client.call(
                    "/etcdserverpb.Maintenance/MoveLeader", request)
            }
            #expect(refused == GRPCStatus(.failedPrecondition, "etcdserver: not leader"))
        }
    }

    @Test(
        "A refusal has the code and the text that clients compare",
        arguments: [
            (
                ClusterError.memberExists, GRPCStatus.Code.failedPrecondition,
                "etcdserver: member ID already exist"
            ),
            (.peerURLExists, .failedPrecondition, "etcdserver: Peer URLs already exists"),
            (.memberNotFound, .notFound, "etcdserver: member not found"),
            (.notLearner, .failedPrecondition, "etcdserver: can only promote a learner member"),
            (
                .learnerNotReady, .failedPrecondition,
                "etcdserver: can only promote a learner member which is in sync with leader"
            ),
            (.invalidURLs, .invalidArgument, "etcdserver: given member URLs are invalid"),
            (
                .noVoterLeft, .failedPrecondition,
                "etcdserver: re-configuration failed due to not enough started members"
            ),
            (.cannotLead, .failedPrecondition, "etcdserver: bad leader transferee"),
            (.service(.timeout), .unavailable, "etcdserver: request timed out"),
        ])
    func refusals(_ error: ClusterError, _ code: GRPCStatus.Code, _ text: String) async throws {
        try await TestServer.run { server in
            let client = try await server.client()
            try await server.with { $0.clusterFailure = error }
            for path in ["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"] {
                let status = await failure {
                    let _: Etcdserverpb_MemberListResponse = try await client.call(
                        "/etcdserverpb.Cluster/\(path)", Etcdserverpb_MemberListRequest())
                }
                #expect(status == GRPCStatus(code, text), "\(path)")
            }
        }
    }
}
