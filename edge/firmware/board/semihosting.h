/* Arm semihosting: the debugger's, or the emulator's, console and files. */
#ifndef SEMIHOSTING_H_
#define SEMIHOSTING_H_

#include <stddef.h>
#include <stdint.h>

static inline int32_t semihosting_call(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

static inline void semihosting_print(const char *text) { (void)semihosting_call(0x04U, text); }

/* mode 1 reads bytes, 5 writes bytes; a handle, or -1. */
static inline int32_t semihosting_open(const char *name, uint32_t length, uint32_t mode) {
  const uintptr_t block[3] = {(uintptr_t)name, mode, length};
  return semihosting_call(0x01U, block);
}

/* 0 if all bytes were read, else how many were not. */
static inline int32_t semihosting_read(int32_t file, void *to, size_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)to, bytes};
  return semihosting_call(0x06U, block);
}

static inline int32_t semihosting_write(int32_t file, const void *from, size_t bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)from, bytes};
  return semihosting_call(0x05U, block);
}

static inline void semihosting_close(int32_t file) {
  const uintptr_t block[1] = {(uintptr_t)file};
  (void)semihosting_call(0x02U, block);
}

static inline void semihosting_exit(int32_t is_good) {
  (void)semihosting_call(0x18U, (const void *)(uintptr_t)((is_good != 0) ? 0x20026U : 0x20023U));
}

#endif
