/* What each step of the model takes, finer than the clock ticks.
 *
 * The clock ticks once in many instructions, so each call waits for the next tick in a loop of
 * known length and counts the turns: the step took the time between two ticks, less the wait. The
 * next step begins at that tick, so that neither the wait nor the sums below are counted. */
#include "profile.h"

#include "model.h"
#include "semihosting.h"

#define PROFILE "profile.bin"
#define SYSTICK_TOP 0x00FFFFFFU
#define STEPS (MODEL_ROW_IN + 2U)
#define EMPTY (MODEL_ROW_IN + 1U) /* calls with nothing between them: what a call itself takes */
#define EMPTY_CALLS 1000U

typedef struct {
  uint32_t ticks;
  uint32_t turns;
  uint32_t calls;
} cost_t;

static cost_t costs[STEPS];
static uint32_t last_tick;
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;

void model_profile(uint32_t step) {
  const uint32_t now = systick[2];
  uint32_t next;
  uint32_t turns = 0U;
  /* Four instructions a turn. */
  __asm__ volatile(".syntax unified\n1:\n\tadds %0, #1\n\tldr %1, [%2]\n\tcmp %1, %3\n\tbeq 1b"
                   : "+l"(turns), "=&l"(next)
                   : "l"(&systick[2]), "l"(now)
                   : "cc", "memory");
  costs[step].ticks += (last_tick - next) & SYSTICK_TOP;
  costs[step].turns += turns;
  costs[step].calls += 1U;
  last_tick = next;
}

void profile_write(void) {
  model_profile(MODEL_ROW_IN);
  for (uint32_t n = 0U; n < EMPTY_CALLS; ++n) {
    model_profile(EMPTY);
  }
  const int32_t file = semihosting_open(PROFILE, sizeof(PROFILE) - 1U, 5U);
  (void)semihosting_write(file, costs, sizeof(costs));
  semihosting_close(file);
}
