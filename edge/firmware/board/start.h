#ifndef START_H_
#define START_H_

#include <stdint.h>

/* How much of the stack has ever been used, in bytes: what has lost its paint. */
uint32_t stack_used_bytes(void);

#endif
