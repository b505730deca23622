/// Bytes that may share their storage with others: an entry's payload inside a received frame, or a record
/// inside a batch. Equal when the bytes are equal.
@frozen
public struct ByteSlice: Hashable, Sendable {
    @usableFromInline let storage: [UInt8]
    @usableFromInline let lowerBound: Int
    @usableFromInline let upperBound: Int

    @inlinable
    public init(_ bytes: [UInt8] = []) {
        storage = bytes
        lowerBound = 0
        upperBound = bytes.count
    }

    /// A part of `bytes` without a copy. The range must lie within `bytes`.
    @inlinable
    public init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "slice outside of its bytes")
        storage = bytes
        lowerBound = range.lowerBound
        upperBound = range.upperBound
    }

    @inlinable public var count: Int { upperBound - lowerBound }

    @inlinable public var isEmpty: Bool { upperBound == lowerBound }

    @inlinable
    public subscript(offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < count, "offset outside of the slice")
        return storage[lowerBound + offset]
    }

    /// A part of this slice without a copy; the range counts from the slice's own start.
    @inlinable
    public subscript(range: Range<Int>) -> ByteSlice {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside of the slice")
        return ByteSlice(storage, lowerBound + range.lowerBound..<lowerBound + range.upperBound)
    }

    /// A copy with storage of its own, so that the rest of a shared buffer can be freed.
    @inlinable public var bytes: [UInt8] {
        lowerBound == 0 && upperBound == storage.count ? storage : Array(storage[lowerBound..<upperBound])
    }

    @inlinable
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var outcome: Swift.Result<Result, Failure>?
        storage.withUnsafeBytes { all in
            do throws(Failure) {
                outcome = .success(try body(UnsafeRawBufferPointer(rebasing: all[lowerBound..<upperBound])))
            } catch {
                outcome = .failure(error)
            }
        }
        return try outcome!.get()
    }

    @inlinable
    public static func == (left: ByteSlice, right: ByteSlice) -> Bool {
        left.count == right.count
            && left.storage[left.lowerBound..<left.upperBound]
                .elementsEqual(right.storage[right.lowerBound..<right.upperBound])
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}
