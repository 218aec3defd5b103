#ifndef START_H_
#define START_H_

#include <stdint.h>

/* A firmware that speaks through a debugger runs in an emulator, which starts no chip. */
#if defined(FIRMWARE_HAS_SEMIHOSTING) && (FIRMWARE_HAS_SEMIHOSTING == 0)
#define START_IS_ON_CHIP
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a debugger reads: 1 the self-test passed, 2 it failed, 3 the weights are damaged, 4 a fault
 * has ended the firmware. */
extern volatile uint32_t firmware_result;

/* How much of the stack has ever been used, in bytes: what has lost its paint. */
uint32_t stack_used_bytes(void);

/* The end of whatever no handler was written for: says so on the serial port and by the light. */
void fault_entry(void);

#ifdef __cplusplus
}
#endif

#endif
