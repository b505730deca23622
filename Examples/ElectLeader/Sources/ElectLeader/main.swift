import Holdfast

let name = CommandLine.arguments[1]  // a, b or c
let peers = ["a": "127.0.0.1:7101", "b": "127.0.0.1:7102", "c": "127.0.0.1:7103"] as KeyValuePairs
let configuration = NodeConfiguration(name: name, peers: peers, dataDirectory: "/tmp/elect-\(name)")
let election = try LeaderElection(named: "scheduler", configuration)
async let running: Void = election.run()
for await state in election.leadershipChanges { print(state) }
try await running
