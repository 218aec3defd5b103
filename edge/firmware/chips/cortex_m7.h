/* The caches of a Cortex-M7. */
#ifndef CORTEX_M7_H_
#define CORTEX_M7_H_

#include <stdint.h>

#define CORTEX_M7_BARRIER() __asm__ volatile("dsb\n\tisb" ::: "memory")

/* Switches both caches on, empty; one that is on already is left alone, with what it holds. */
static inline void cortex_m7_start_caches(void) {
  volatile uint32_t *const ccr = (volatile uint32_t *)0xE000ED14U;
  volatile uint32_t *const cache_size = (volatile uint32_t *)0xE000ED80U;
  volatile uint32_t *const cache_choice = (volatile uint32_t *)0xE000ED84U;
  volatile uint32_t *const forget_code = (volatile uint32_t *)0xE000EF50U;
  volatile uint32_t *const forget_line = (volatile uint32_t *)0xE000EF60U;
  const uint32_t code_cache = 1U << 17;
  const uint32_t data_cache = 1U << 16;
  if ((*ccr & code_cache) == 0U) {
    CORTEX_M7_BARRIER();
    *forget_code = 0U;
    CORTEX_M7_BARRIER();
    *ccr |= code_cache;
    CORTEX_M7_BARRIER();
  }
  if ((*ccr & data_cache) == 0U) {
    *cache_choice = 0U;
    CORTEX_M7_BARRIER();
    const uint32_t last_set = (*cache_size >> 13) & 0x7FFFU;
    for (uint32_t set = 0U; set <= last_set; ++set) {
      for (uint32_t way = 0U; way < 4U; ++way) {
        *forget_line = (way << 30) | (set << 5);
      }
    }
    CORTEX_M7_BARRIER();
    *ccr |= data_cache;
    CORTEX_M7_BARRIER();
  }
}

#endif
