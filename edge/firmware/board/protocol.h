/* The serial protocol of MLPerf Tiny, by which its runner loads inputs, times inferences and reads
 * results; and beside it commands for what a proof needs: whole outputs, cycles, faster loading. */
#ifndef PROTOCOL_H_
#define PROTOCOL_H_

#include <stdint.h>

/* The text after a reset; `self_test` is firmware_result. */
void protocol_start(uint32_t self_test);

/* Takes a byte that came in, and answers once it was the last of a command. */
void protocol_take(uint8_t byte);

#endif
