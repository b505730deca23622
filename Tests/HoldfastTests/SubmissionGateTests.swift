import Testing

@testable import Holdfast

@Suite struct SubmissionGateTests {
    @Test func sequencesAreAcknowledgedWithoutGaps() {
        var window = SubmissionWindow(session: SessionNumber(1), limit: 3)
        #expect((0..<4).map { _ in window.begin() } == [1, 2, 3, nil])
        window.end(2)
        #expect(window.acknowledgedThrough == 0)
        #expect(window.begin() == nil, "the results of 2 and 3 are still in the cluster")
        window.end(1)
        #expect(window.acknowledgedThrough == 2)
        #expect(window.outstandingCount == 1)
        #expect((0..<3).map { _ in window.begin() } == [4, 5, nil])
    }

    @Test func oneCallerOpensTheSession() {
        let gate = SubmissionGate(limit: 2, maximumWaiters: 10)
        #expect(gate.enter(wasWoken: false) == .mustOpen)
        #expect(gate.enter(wasWoken: false) == .wait)
        gate.openingFailed()
        #expect(gate.enter(wasWoken: false) == .mustOpen)
        gate.opened(SessionNumber(7))
        #expect(gate.enter(wasWoken: false) == .ticket(.init(session: SessionNumber(7), sequence: 1)))
        gate.expired(SessionNumber(6))
        #expect(gate.enter(wasWoken: false) == .ticket(.init(session: SessionNumber(7), sequence: 2)))
        gate.expired(SessionNumber(7))
        #expect(gate.enter(wasWoken: false) == .mustOpen)
    }

    @Test func callersWaitInALineOfLimitedLength() async {
        let gate = SubmissionGate(limit: 1, maximumWaiters: 1)
        #expect(gate.enter(wasWoken: false) == .mustOpen)
        gate.opened(SessionNumber(1))
        let first = SubmissionGate.Ticket(session: SessionNumber(1), sequence: 1)
        #expect(gate.enter(wasWoken: false) == .ticket(first))
        #expect(gate.enter(wasWoken: false) == .wait)
        let waiting = Task { await gate.wait(isFirst: false) { _ in } }
        while gate.waiterCount == 0 { await Task.yield() }
        #expect(gate.enter(wasWoken: false) == .overloaded)
        gate.end(first)
        #expect(await waiting.value == .tryAgain)
        #expect(gate.enter(wasWoken: true) == .ticket(.init(session: SessionNumber(1), sequence: 2)))
    }

    @Test func waitersAreToldWhatHappens() async {
        let gate = SubmissionGate(limit: 1, maximumWaiters: 10)
        _ = gate.enter(wasWoken: false)
        let cancelled = Task { await gate.wait(isFirst: false) { _ in } }
        while gate.waiterCount < 1 { await Task.yield() }
        cancelled.cancel()
        #expect(await cancelled.value == .cancelled)
        let late = Task { await gate.wait(isFirst: false) { _ in } }
        let stopped = Task { await gate.wait(isFirst: false) { _ in } }
        while gate.waiterCount < 2 { await Task.yield() }
        late.cancel()
        _ = await late.value
        gate.stop()
        #expect(await stopped.value == .stopped)
        #expect(await gate.wait(isFirst: false) { _ in } == .stopped)
    }
}
