import HoldfastSimulation
import Testing

@Suite struct FaultListTests {
    @Test func faultsAreWrittenAndRead() throws {
        let list = FaultList([
            Fault(.loss, amount: 20),
            Fault(
                .crash, atMicroseconds: 1_500_000, durationMicroseconds: 250_000,
                nodes: NodeSet(count: 3), amount: 3),
            Fault(.cut, atMicroseconds: 2, amount: LinkSet.star(hub: 1, nodeCount: 5).bits),
            Fault(.delay, nodes: NodeSet(1), peers: NodeSet(2), amount: 7),
        ])
        #expect(try FaultList(parsing: list.text) == list)
        #expect(try FaultList(parsing: list.text.split(separator: "\n").joined(separator: "; ")) == list)
        #expect(list.text.contains("crash at=1500000 for=250000 nodes=0,1,2 amount=3"))
    }

    @Test(arguments: [
        "flood at=1", "crash at", "crash at=x", "crash nodes=8", "crash colour=red", "cut amount=0xzz",
    ])
    func nonsenseIsRefused(text: String) {
        #expect(throws: FaultList.ParsingError.self) { try FaultList(parsing: text) }
    }

    @Test func commentsSayNothing() throws {
        #expect(try FaultList(parsing: "# what was found\n\npause at=5 nodes=1").faults.count == 1)
    }

    @Test func topologiesLeaveTheLinksThatTheyName() {
        let star = LinkSet.star(hub: 2, nodeCount: 5)
        let chain = LinkSet.chain([3, 0, 1, 4, 2])
        let bridge = LinkSet.bridge(over: 2, nodeCount: 5)
        for from in 0..<5 {
            for to in 0..<5 where from != to {
                #expect(star.contains(from: from, to: to) == (from != 2 && to != 2))
                let isBetweenHalves = (from < 2) != (to < 2) && from != 2 && to != 2
                #expect(bridge.contains(from: from, to: to) == isBetweenHalves)
            }
        }
        for (one, other) in [(3, 0), (0, 1), (1, 4), (4, 2)] {
            #expect(!chain.contains(from: one, to: other) && !chain.contains(from: other, to: one))
        }
        #expect(chain.contains(from: 3, to: 2))
        let oneWay = LinkSet.between(NodeSet(0), nodeCount: 3, isOneWay: true)
        #expect(oneWay.contains(from: 0, to: 1) && !oneWay.contains(from: 1, to: 0))
    }
}
