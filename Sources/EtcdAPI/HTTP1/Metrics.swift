/// What `/metrics` shows, in Prometheus' text format, with etcd's names where the meaning is the same.
enum Metrics {
    static func text(_ core: ServerCore) -> String {
        let status = core.service.status
        var text = ""
        func add(_ name: String, _ type: String, _ help: String, _ value: String) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n\(name) \(value)\n"
        }
        func gauge(_ name: String, _ help: String, _ value: Int64) {
            add(name, "gauge", help, String(value))
        }
        func counter(_ name: String, _ help: String, _ value: UInt64) {
            add(name, "counter", help, String(value))
        }
        gauge(
            "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
            status.leader == nil ? 0 : 1)
        gauge(
            "etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
            status.leader == status.memberID ? 1 : 0)
        gauge("holdfast_raft_term", "The term that this member is in.", Int64(clamping: status.term))
        gauge(
            "holdfast_election_timeout_milliseconds",
            "The election timeout in force: the configured one, or longer where round trips are long.",
            Int64(status.electionTimeoutMilliseconds))
        counter(
            "etcd_server_leader_changes_seen_total", "The number of leader changes seen.",
            UInt64(status.leaderChangeCount))
        gauge(
            "etcd_server_proposals_committed_total", "The total number of consensus proposals committed.",
            Int64(clamping: status.commitIndex))
        gauge(
            "etcd_server_proposals_applied_total", "The total number of consensus proposals applied.",
            Int64(clamping: status.appliedIndex))
        gauge(
            "etcd_server_proposals_pending", "The current number of pending proposals to commit.",
            Int64(status.pendingProposalCount))
        gauge(
            "etcd_mvcc_db_total_size_in_bytes", "Size of the store in bytes.",
            Int64(status.databaseSizeBytes))
        gauge(
            "etcd_debugging_mvcc_current_revision", "The current revision of store.",
            core.service.store.revision)
        text += "# HELP etcd_server_version Which version is running. 1 for 'server_version' label.\n"
        text += "# TYPE etcd_server_version gauge\n"
        text += "etcd_server_version{server_version=\"\(EtcdVersion.server)\"} 1\n"
        gauge(
            "holdfast_client_connections", "Connections of clients that are open.",
            Int64(core.connectionCount))
        gauge(
            "holdfast_client_unsent_bytes", "Responses that clients have not taken yet.",
            Int64(core.unsentBytes))
        gauge(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
            core.startedAtSeconds)
        return text
    }
}
