/// Puts and deletes.
extension KeyValueStore {
    mutating func applyPut(_ request: PutRequest) throws(KeyValueError) -> PutResponse {
        try checkLease(of: request)
        var changes = ChangeSet(main: revision + 1)
        let response = try put(request, &changes)
        finish(changes)
        return response
    }

    mutating func applyDeleteRange(_ request: DeleteRangeRequest) throws(KeyValueError) -> DeleteRangeResponse
    {
        var changes = ChangeSet(main: revision + 1)
        let response = try deleteRange(request, &changes)
        finish(changes)
        return response
    }

    /// A command that changed nothing has no revision of its own.
    mutating func finish(_ changes: ChangeSet) {
        if changes.count > 0 { revision = changes.main }
    }

    func checkLease(of request: PutRequest) throws(KeyValueError) {
        guard let lease = request.lease else { return }
        guard leaseTable[lease] != nil else { throw .leaseNotFound }
    }

    /// The lease must exist. Throws before anything is changed.
    mutating func put(_ request: PutRequest, _ changes: inout ChangeSet) throws(KeyValueError) -> PutResponse
    {
        guard !request.key.isEmpty else { throw .emptyKey }
        guard request.key.count + request.value.count <= KeyValueLimits.maximumPairSizeBytes else {
            throw .requestTooLarge
        }
        let key = KeyBytes(request.key)
        var value = request.value
        var lease = request.lease
        if request.ignoreValue || request.ignoreLease {
            guard let present = index[key]?.newest, !present.isDeletion else { throw .keyNotFound }
            if request.ignoreValue { value = present.keyValue.value }
            if request.ignoreLease { lease = present.keyValue.lease }
        }
        let revision = changes.next()
        var previous: VersionRecord?
        var record: VersionRecord?
        index.upsert(
            key,
            insert: {
                let created = VersionRecord(
                    KeyValue(
                        key: key.bytes, value: value, createRevision: revision.main,
                        modRevision: revision.main, version: 1, lease: lease),
                    sub: revision.sub)
                record = created
                return KeyHistory(created)
            },
            change: { history in
                let present = history.newest
                let exists = !present.isDeletion
                if exists { previous = present }
                let updated = VersionRecord(
                    KeyValue(
                        key: present.keyValue.key, value: value,
                        createRevision: exists ? present.keyValue.createRevision : revision.main,
                        modRevision: revision.main,
                        version: exists ? present.keyValue.version + 1 : 1, lease: lease),
                    sub: revision.sub)
                record = updated
                history.append(updated)
            })
        append(record!)
        moveKey(key, from: previous?.keyValue.lease, to: lease)
        return PutResponse(
            previous: request.previousKeyValue ? previous?.keyValue : nil, revision: revision.main)
    }

    mutating func deleteRange(
        _ request: DeleteRangeRequest, _ changes: inout ChangeSet
    ) throws(KeyValueError) -> DeleteRangeResponse {
        guard !request.range.key.isEmpty else { throw .emptyKey }
        var victims: [VersionRecord] = []
        visitNewest(in: request.range) { record in
            victims.append(record)
            return true
        }
        for victim in victims {
            delete(victim, &changes)
        }
        return DeleteRangeResponse(
            deleted: Int64(victims.count),
            previous: request.previousKeyValues ? victims.map(\.keyValue) : [],
            revision: changes.visibleRevision)
    }

    /// Deletes a key, whose newest version is given and exists.
    mutating func delete(_ present: VersionRecord, _ changes: inout ChangeSet) {
        let key = KeyBytes(present.keyValue.key)
        let record = VersionRecord.deletion(of: key.bytes, at: changes.next())
        index.upsert(
            key, insert: { preconditionFailure("a key to delete is in the index") },
            change: { $0.append(record) })
        append(record)
        moveKey(key, from: present.keyValue.lease, to: nil)
    }

    private mutating func append(_ record: VersionRecord) {
        log.set(record.revision, record)
        sizeBytes += record.sizeBytes
    }
}
