/* What the boot ROM of NXP's i.MX RT1062 reads at the start of the flash: how the flash is read,
 * where the image is, and where it is entered. */
#ifndef IMXRT1062_BOOT_H_
#define IMXRT1062_BOOT_H_

#include <stdint.h>

#include "board.h"

/* Symbols of the linker script: their addresses count. */
extern const uint8_t image_start[], image_bytes[];
extern uint32_t stack_top[];
void reset(void);

/* A command of the flash controller's table: what to do, on 1, 2 or 4 lines (0, 1, 2), with what.
 */
#define SEQUENCE(code, lines, operand) (((code) << 10) | ((lines) << 8) | (operand))
#define TWO(first, second) ((first) | ((uint32_t)(second) << 16))
#define SEND_COMMAND 0x01U
#define SEND_ADDRESS 0x02U
#define SEND_MODE 0x07U
#define READ_DATA 0x09U
#define WAIT_CYCLES 0x0CU

/* Words of the configuration block that are not 0, by their place. */
#define FLASH_TAG 0
#define FLASH_VERSION 1
#define FLASH_SAMPLING 3
#define FLASH_DEVICE 17
#define FLASH_SIZE 20
#define FLASH_SEQUENCES 32
#define FLASH_PAGE_BYTES 112
#define FLASH_SECTOR_BYTES 113
#define FLASH_COMMAND_CLOCK 114
#define FLASH_BLOCK_BYTES 116

/* Quad reads at 100 MHz (EBh, a mode byte that ends the command, four cycles of waiting), sampled
 * with the strobe looped back from its pad. */
#define FLASH_CONFIGURATION                                                                       \
  {                                                                                               \
    [FLASH_TAG] = 0x42464346U, [FLASH_VERSION] = 0x56010000U,                                     \
    [FLASH_SAMPLING] = (3U << 16) | (3U << 8) | 1U, [FLASH_DEVICE] = (6U << 16) | (4U << 8) | 1U, \
    [FLASH_SIZE] = CHIP_FLASH_BYTES,                                                              \
    [FLASH_SEQUENCES] = TWO(SEQUENCE(SEND_COMMAND, 0U, 0xEBU), SEQUENCE(SEND_ADDRESS, 2U, 24U)),  \
    [FLASH_SEQUENCES + 1] = TWO(SEQUENCE(SEND_MODE, 2U, 0xFFU), SEQUENCE(WAIT_CYCLES, 2U, 4U)),   \
    [FLASH_SEQUENCES + 2] = SEQUENCE(READ_DATA, 2U, 4U), [FLASH_PAGE_BYTES] = 256U,               \
    [FLASH_SECTOR_BYTES] = 4096U, [FLASH_COMMAND_CLOCK] = 1U, [FLASH_BLOCK_BYTES] = 65536U,       \
  }

#define IMAGE_HEADER 0x412000D1U /* tag D1, 32 bytes, version 4.1 */

typedef struct {
  uint32_t flash[128];
  uint8_t to_image[0x1000U - 512U];
  uint32_t header;
  const void *entry;
  const void *reserved;
  const void *device_configuration;
  const void *image;
  const void *self;
  const void *command_sequence;
  const void *also_reserved;
  const void *start;
  const void *bytes;
  uint32_t is_plugin;
  uint32_t to_vectors;
  const void *first_vectors[2];
  uint8_t to_end[0x400U - 56U];
} boot_t;

/* All of the FlexRAM becomes data memory, at no wait: only then is there a stack. */
static void __attribute__((naked, used)) enter(void) {
  __asm__ volatile("movw r0, #0xC000\n\tmovt r0, #0x400A\n\t" /* IOMUXC_GPR */
                   "movw r1, #0xAAAA\n\tmovt r1, #0xAAAA\n\t" /* 16 banks of DTCM */
                   "str r1, [r0, #0x44]\n\t"                  /* GPR17 */
                   "movw r1, #0x0006\n\tmovt r1, #0x0020\n\t" /* of GPR17, no ITCM */
                   "str r1, [r0, #0x40]\n\t"                  /* GPR16 */
                   "movw r1, #0x0000\n\tmovt r1, #0x00A0\n\t" /* 512 KiB */
                   "str r1, [r0, #0x38]\n\t"                  /* GPR14 */
                   "dsb\n\tisb\n\t"
                   "movw r1, #:lower16:stack_top\n\tmovt r1, #:upper16:stack_top\n\t"
                   "mov sp, r1\n\t"
                   "b reset\n\t");
}

__attribute__((section(".boot"), used)) static const boot_t boot = {
    .flash = FLASH_CONFIGURATION,
    .header = IMAGE_HEADER,
    .entry = boot.first_vectors,
    .image = &boot.start,
    .self = &boot.header,
    .start = image_start,
    .bytes = image_bytes,
    .first_vectors = {stack_top, (const void *)enter},
};

#endif
