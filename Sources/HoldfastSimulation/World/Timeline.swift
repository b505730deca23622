import ConsensusTypes

/// The last things that happened in a run, for a person: the last events, and what was noted and injected before
/// them, which is rarer.
struct Timeline {
    enum Item {
        case event(SimulationEvent)
        case fault(Fault)
        case note(String)
    }

    private static let eventCapacity = 128
    private static let otherCapacity = 512

    /// The last of one kind.
    private struct Ring {
        let capacity: Int
        private var items: [(time: Instant, item: Item)] = []
        private var next = 0

        init(capacity: Int) { self.capacity = capacity }

        mutating func add(_ time: Instant, _ item: Item) {
            if items.count < capacity {
                items.append((time, item))
            } else {
                items[next] = (time, item)
                next = (next + 1) % capacity
            }
        }

        var inOrder: [(time: Instant, item: Item)] { Array(items[next...] + items[..<next]) }
    }

    private var events = Ring(capacity: eventCapacity)
    private var others = Ring(capacity: otherCapacity)

    mutating func add(_ time: Instant, _ item: Item) {
        if case .event = item { events.add(time, item) } else { others.add(time, item) }
    }

    var lines: [String] {
        let last = events.inOrder
        let begin = last.first?.time ?? .distantFuture
        let other = others.inOrder
        let recent = last + other.filter { $0.time >= begin }
        let sorted = recent.enumerated().sorted { one, two in
            if one.element.time != two.element.time { return one.element.time < two.element.time }
            return one.offset < two.offset
        }.map(\.element)
        return (other.filter { $0.time < begin } + sorted).map { time, item in
            let since = Instant(nanoseconds: (time - World.start).nanoseconds)
            return switch item {
            case .event(let event): "\(since)  \(event.text)"
            case .fault(let fault): "\(since)  FAULT \(fault.text)"
            case .note(let text): "\(since)  \(text)"
            }
        }
    }
}
