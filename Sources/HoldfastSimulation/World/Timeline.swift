import ConsensusTypes

/// The last things that happened in a run, for a person.
struct Timeline {
    enum Item {
        case event(SimulationEvent)
        case fault(Fault)
        case note(String)
    }

    private static let capacity = 128

    private var items: [(time: Instant, item: Item)] = []
    private var next = 0

    mutating func add(_ time: Instant, _ item: Item) {
        if items.count < Timeline.capacity {
            items.append((time, item))
        } else {
            items[next] = (time, item)
            next = (next + 1) % Timeline.capacity
        }
    }

    var lines: [String] {
        (items[next...] + items[..<next]).map { time, item in
            let since = Instant(nanoseconds: (time - World.start).nanoseconds)
            return switch item {
            case .event(let event): "\(since)  \(event.text)"
            case .fault(let fault): "\(since)  FAULT \(fault.text)"
            case .note(let text): "\(since)  \(text)"
            }
        }
    }
}
