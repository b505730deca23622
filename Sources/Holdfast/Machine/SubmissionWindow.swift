import ConsensusTypes

/// One node's commands in one session: which sequences are on their way, and which the cluster may forget.
struct SubmissionWindow {
    let session: SessionNumber
    /// How far apart the oldest and the newest sequence under way may be.
    let limit: Int
    private var lastSequence: UInt64 = 0
    /// Everything up to here has ended: nobody will ask for its result any more.
    private(set) var acknowledgedThrough: UInt64 = 0
    /// What ended beyond that.
    private var ended: Set<UInt64> = []

    init(session: SessionNumber, limit: Int) {
        self.session = session
        self.limit = limit
    }

    /// How many sequences can be given now.
    var room: Int { limit - Int(lastSequence - acknowledgedThrough) }

    var outstandingCount: Int { Int(lastSequence - acknowledgedThrough) - ended.count }

    /// The next sequence, or `nil` where too many are on their way.
    mutating func begin() -> UInt64? {
        guard room > 0 else { return nil }
        lastSequence += 1
        return lastSequence
    }

    /// The result was received, or is given up.
    mutating func end(_ sequence: UInt64) {
        precondition(sequence > acknowledgedThrough && sequence <= lastSequence, "a command ends twice")
        ended.insert(sequence)
        while ended.remove(acknowledgedThrough + 1) != nil { acknowledgedThrough += 1 }
    }
}
