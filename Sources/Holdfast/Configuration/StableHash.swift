import ConsensusTypes

/// A hash that is the same in every process: 64-bit FNV-1a with a final mix, never zero. Not for secrets.
enum StableHash {
    static func of(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        hash = (hash ^ (hash >> 33)) &* 0xff51_afd7_ed55_8ccd
        hash ^= hash >> 33
        return hash == 0 ? 1 : hash
    }

    /// The id of the node with this name: the same on every node, wherever the node listens.
    static func node(_ name: String, cluster: String) -> NodeID {
        NodeID(of("holdfast member\n\(cluster)\n\(name)"))
    }

    /// The number of the group of this kind and name; never one of the node's own.
    static func group(_ purpose: String) -> UInt64 {
        let number = of("holdfast group\n\(purpose)")
        return number > 1 ? number : 2
    }

    static func cluster(_ cluster: String) -> ClusterID {
        ClusterID(of("holdfast cluster\n\(cluster)"))
    }
}
