/// The state machines that `holdfast simulate --state-machine` knows besides the key-value store.
public enum StateMachineRegistry {
    /// In order.
    public static let names = ["bank", "register"]

    /// Runs the machine of this name; `nil` where there is none.
    public static func run(_ name: String, _ settings: SimulationSettings) -> SimulationOutcome? {
        switch name {
        case "bank": Simulation.run(BankWorkload(), settings)
        case "register": Simulation.run(RegisterWorkload(), settings)
        default: nil
        }
    }
}
