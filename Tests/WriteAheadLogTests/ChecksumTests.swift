import CHoldfastChecksum
import ConsensusTypes
import Testing

@testable import WriteAheadLog

@Suite("CRC32C")
struct ChecksumTests {
    /// RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRCs.
    private static let known: [(bytes: [UInt8], checksum: UInt32)] = [
        (Array("123456789".utf8), 0xe306_9283),
        ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
        ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
        ([UInt8](0..<32), 0x46dd_794e),
        ([UInt8]((0..<32).reversed()), 0x113f_db5c),
        ([], 0),
    ]

    @Test("known values", arguments: known)
    func knownValues(_ bytes: [UInt8], _ expected: UInt32) {
        #expect(Checksum.crc32c(bytes) == expected)
        #expect(bytes.withUnsafeBytes { holdfast_crc32c_portable(0, $0.baseAddress, $0.count) } == expected)
    }

    @Test("the processor's instruction and the portable code agree at every length and alignment")
    func hardwareIsPortable() {
        var random = SeededRandom(seed: 1)
        let bytes = (0..<300).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        bytes.withUnsafeBytes { raw in
            for start in 0..<16 {
                for count in 0..<200 {
                    let previous = UInt32(truncatingIfNeeded: random.next())
                    let part = raw.baseAddress! + start
                    #expect(
                        holdfast_crc32c(previous, part, count)
                            == holdfast_crc32c_portable(previous, part, count))
                }
            }
        }
    }

    @Test("continuing equals doing it at once")
    func continues() {
        let bytes = [UInt8](0..<100)
        for split in 0...100 {
            let first = Checksum.crc32c(Array(bytes[..<split]))
            #expect(Checksum.crc32c(Array(bytes[split...]), continuing: first) == Checksum.crc32c(bytes))
        }
    }
}
