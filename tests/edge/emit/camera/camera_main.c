/* Runs all cases of cases.h, on this machine or on an emulated one. */
#include "camera_io.h"
#include "cases.h"

#ifdef __arm__
#include "semihosting.h"

static int32_t inputs;
static int32_t outputs;

void read_bytes(void *to, size_t bytes) { (void)semihosting_read(inputs, to, bytes); }

void write_bytes(const void *from, size_t bytes) { (void)semihosting_write(outputs, from, bytes); }

int main(void) {
  inputs = semihosting_open("inputs.bin", 10U, 1U);
  outputs = semihosting_open("outputs.bin", 11U, 5U);
  run_cases();
  semihosting_close(outputs);
  semihosting_print("done 1\n");
  semihosting_exit(1);
  return 0;
}
#else
#include <stdio.h>

static FILE *inputs;
static FILE *outputs;

void read_bytes(void *to, size_t bytes) { (void)!fread(to, 1, bytes, inputs); }

void write_bytes(const void *from, size_t bytes) { (void)fwrite(from, 1, bytes, outputs); }

int main(void) {
  inputs = fopen("inputs.bin", "rb");
  outputs = fopen("outputs.bin", "wb");
  run_cases();
  (void)fclose(inputs);
  return fclose(outputs);
}
#endif
