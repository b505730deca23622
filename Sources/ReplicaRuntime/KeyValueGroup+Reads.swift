import ConsensusTypes
import KeyValueCore
import RaftCore

extension KeyValueGroup {
    /// Calls `completion` once ``store`` holds every write that was acknowledged before this call, or with
    /// the reason why that could not be shown in time (dissertation, section 6.4).
    public func linearizableRead(_ completion: @escaping (ServiceError?) -> Void) {
        let now = clock()
        guard !isStopped else { return completion(.stopped) }
        guard !replica.isWitness else { return completion(.witness) }
        guard reads.count < settings.maximumPendingReads else { return completion(.tooManyRequests) }
        reads.add(
            ReadGathering.Read(
                deadline: now + .milliseconds(settings.requestTimeoutMilliseconds), completion: completion))
        watchDeadlines(now: now)
        environment.scheduleTurn()
    }

    func askForReads(now: Instant) {
        guard !reads.gathered.isEmpty, replica.requestRead(reads.nextID, now: now) else { return }
        reads.noteAsked()
    }

    public func readReady(_ id: ReadID, now: Instant) {
        for read in reads.takeReady(id) {
            read.completion(nil)
        }
    }

    public func readFailed(_ id: ReadID, now: Instant) {
        reads.noteFailed(id)
    }
}
