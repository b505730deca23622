#include "CHoldfastChecksum.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && !defined(__ARM_FEATURE_CRC32) && defined(__linux__)
// Compiled for any processor of the architecture: whether this one has the instruction is asked for.
#include <sys/auxv.h>
#define HOLDFAST_HWCAP_CRC32 (1u << 7)
#endif

// The polynomial 0x1EDC6F41, bits reversed.
#define POLYNOMIAL 0x82F63B78u

// One table per half byte: 64 bytes that are constant, so that no initialisation can race.
static const uint32_t half_byte_table[16] = {
    0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
    0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u, 0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
};

uint32_t holdfast_crc32c_portable(uint32_t previous, const void *bytes, size_t length) {
    const uint8_t *cursor = bytes;
    uint32_t crc = ~previous;
    while (length-- > 0) {
        crc ^= *cursor++;
        crc = (crc >> 4) ^ half_byte_table[crc & 15];
        crc = (crc >> 4) ^ half_byte_table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(
    uint32_t previous, const void *bytes, size_t length) {
    const uint8_t *cursor = bytes;
    uint64_t crc = (uint32_t)~previous;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, cursor, 8);
        crc = _mm_crc32_u64(crc, word);
        cursor += 8;
        length -= 8;
    }
    uint32_t narrow = (uint32_t)crc;
    while (length-- > 0) {
        narrow = _mm_crc32_u8(narrow, *cursor++);
    }
    return ~narrow;
}

uint32_t holdfast_crc32c(uint32_t previous, const void *bytes, size_t length) {
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_hardware(previous, bytes, length);
    }
    return holdfast_crc32c_portable(previous, bytes, length);
}

#elif defined(__aarch64__) && (defined(__ARM_FEATURE_CRC32) || defined(__linux__))

__attribute__((target("crc"))) static uint32_t crc32c_hardware(
    uint32_t previous, const void *bytes, size_t length) {
    const uint8_t *cursor = bytes;
    uint32_t crc = ~previous;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, cursor, 8);
        crc = __builtin_arm_crc32cd(crc, word);
        cursor += 8;
        length -= 8;
    }
    while (length-- > 0) {
        crc = __builtin_arm_crc32cb(crc, *cursor++);
    }
    return ~crc;
}

uint32_t holdfast_crc32c(uint32_t previous, const void *bytes, size_t length) {
#if !defined(__ARM_FEATURE_CRC32)
    if ((getauxval(AT_HWCAP) & HOLDFAST_HWCAP_CRC32) == 0) {
        return holdfast_crc32c_portable(previous, bytes, length);
    }
#endif
    return crc32c_hardware(previous, bytes, length);
}

#else

uint32_t holdfast_crc32c(uint32_t previous, const void *bytes, size_t length) {
    return holdfast_crc32c_portable(previous, bytes, length);
}

#endif
