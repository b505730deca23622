import ConsensusTypes

/// What is to happen in a simulation, in the order of time; events of one instant come in the order in
/// which they were added.
///
/// The heap holds times and places only: events, which hold references, stay where they are while it moves.
struct EventQueue<Event> {
    private struct Item {
        let time: Instant
        let order: UInt64
        let slot: Int

        @inline(__always)
        func precedes(_ other: Item) -> Bool {
            time == other.time ? order < other.order : time < other.time
        }
    }

    private var heap: [Item] = []
    private var slots: [Event?] = []
    private var freeSlots: [Int] = []
    private var lastOrder: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }

    var count: Int { heap.count }

    /// When the first event happens.
    var nextTime: Instant? { heap.first?.time }

    mutating func add(_ event: Event, at time: Instant) {
        lastOrder += 1
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            slots[free] = event
        } else {
            slot = slots.count
            slots.append(event)
        }
        let item = Item(time: time, order: lastOrder, slot: slot)
        heap.append(item)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 4
            guard item.precedes(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = item
    }

    mutating func removeFirst() -> (time: Instant, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { siftDown(last) }
        guard let event = slots[first.slot].take() else {
            preconditionFailure("a queued event is in its slot")
        }
        freeSlots.append(first.slot)
        return (first.time, event)
    }

    /// Puts `item` where it belongs, from the root down.
    private mutating func siftDown(_ item: Item) {
        var parent = 0
        let count = heap.count
        while true {
            let firstChild = 4 * parent + 1
            guard firstChild < count else { break }
            var smallest = firstChild
            for child in firstChild + 1..<max(min(firstChild + 4, count), firstChild + 1)
            where heap[child].precedes(heap[smallest]) {
                smallest = child
            }
            guard heap[smallest].precedes(item) else { break }
            heap[parent] = heap[smallest]
            parent = smallest
        }
        heap[parent] = item
    }
}
