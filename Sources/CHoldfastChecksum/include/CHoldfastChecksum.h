#ifndef HOLDFAST_CHECKSUM_H
#define HOLDFAST_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli, RFC 3720) of `length` bytes, continuing from `previous` (0 for a new checksum).
/// Uses the processor's instruction where there is one.
uint32_t holdfast_crc32c(uint32_t previous, const void *bytes, size_t length);

/// The same result without the instruction: the fallback, exposed so that tests can compare the two.
uint32_t holdfast_crc32c_portable(uint32_t previous, const void *bytes, size_t length);

#endif
