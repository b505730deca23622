import ConsensusTypes

/// What is to happen in a simulation, in the order of time; events of one instant come in the order in
/// which they were added.
struct EventQueue<Event> {
    private struct Item {
        let time: Instant
        let order: UInt64
        let event: Event

        func precedes(_ other: Item) -> Bool {
            time == other.time ? order < other.order : time < other.time
        }
    }

    private var heap: [Item] = []
    private var lastOrder: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }

    var count: Int { heap.count }

    mutating func add(_ event: Event, at time: Instant) {
        lastOrder += 1
        heap.append(Item(time: time, order: lastOrder, event: event))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() -> (time: Instant, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown()
        }
        return (first.time, first.event)
    }

    private mutating func siftDown() {
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child].precedes(heap[smallest]) {
                smallest = child
            }
            if smallest == parent { return }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
