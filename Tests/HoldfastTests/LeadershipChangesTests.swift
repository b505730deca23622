import Testing

@testable import Holdfast

@Suite struct LeadershipChangesTests {
    static func leader(_ token: UInt64) -> LeadershipState {
        .leader(
            Leadership(fencingToken: FencingToken(token), certainUntil: ContinuousClock.now + .seconds(1)))
    }

    @Test func aReaderBeginsWithThePresentState() async {
        let board = LeadershipBoard()
        board.post(.follower(of: "b"))
        var changes = LeadershipChanges(board: board).makeAsyncIterator()
        board.post(.unknown)
        board.end()
        #expect(await changes.next() == .unknown)
        #expect(await changes.next() == nil)
        #expect(await changes.next() == nil)
    }

    @Test func aSlowReaderGetsTheNewestState() async {
        let board = LeadershipBoard()
        var changes = LeadershipChanges(board: board).makeAsyncIterator()
        #expect(await changes.next() == .unknown)
        for name in ["a", "b", "c"] { board.post(.follower(of: name)) }
        #expect(await changes.next() == .follower(of: "c"))
    }

    @Test func betweenTwoLeadershipsThereIsALoss() async {
        let board = LeadershipBoard()
        var changes = LeadershipChanges(board: board).makeAsyncIterator()
        let (first, second, third) = (Self.leader(1), Self.leader(1), Self.leader(4))
        board.post(first)
        #expect(await changes.next() == .unknown)
        #expect(await changes.next() == first)
        board.post(.unknown)
        board.post(second)
        board.post(.unknown)
        board.post(.follower(of: "b"))
        board.post(third)
        #expect(await changes.next() == .follower(of: "b"))
        #expect(await changes.next() == third)
    }

    @Test func thePresentStateIsNoLeadershipThatHasRunOut() {
        let board = LeadershipBoard()
        let leadership = Leadership(
            fencingToken: FencingToken(1), certainUntil: ContinuousClock.now + .seconds(60))
        board.post(.leader(leadership))
        #expect(board.current == .leader(leadership))
        leadership.lease.renew(until: ContinuousClock.now)
        #expect(board.current == .unknown)
        #expect(board.posted == .leader(leadership))
    }

    /// For every sequence of gains and losses, taken at any time.
    @Test func noSequenceHidesALoss() async {
        for pattern in 0..<256 {
            let board = LeadershipBoard()
            var changes = LeadershipChanges(board: board).makeAsyncIterator()
            var last: LeadershipState?
            var token: UInt64 = 0
            for step in 0..<8 {
                if board.current.leadership == nil {
                    token += 1
                    board.post(Self.leader(token))
                } else {
                    board.post(step.isMultiple(of: 3) ? .unknown : .follower(of: "\(step)"))
                }
                guard pattern & (1 << step) != 0 else { continue }
                let state = await changes.next()
                #expect(last?.leadership == nil || state?.leadership == nil, "\(pattern)")
                last = state
            }
            while last != board.current {
                let state = await changes.next()
                #expect(last?.leadership == nil || state?.leadership == nil, "\(pattern)")
                last = state
            }
        }
    }

    @Test func aCancelledReaderEnds() async {
        let board = LeadershipBoard()
        let task = Task {
            var states: [LeadershipState] = []
            for await state in LeadershipChanges(board: board) { states.append(state) }
            return states
        }
        while board.readerCount == 0 { await Task.yield() }
        task.cancel()
        #expect(await task.value.count <= 1)
        while board.readerCount > 0 { await Task.yield() }
    }

    @Test func leadershipIsCertainUntilTheLeaseEndsOrIsLost() {
        let leadership = Leadership(
            fencingToken: FencingToken(3), certainUntil: ContinuousClock.now + .seconds(60))
        #expect(leadership.isCertain)
        leadership.lease.renew(until: ContinuousClock.now - .nanoseconds(1))
        #expect(!leadership.isCertain)
        leadership.lease.renew(until: ContinuousClock.now + .seconds(60))
        leadership.lease.end()
        #expect(!leadership.isCertain)
        #expect(FencingToken(2) < FencingToken(3))
    }
}
