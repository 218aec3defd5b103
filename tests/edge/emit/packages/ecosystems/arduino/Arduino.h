// What the example sketch asks of an Arduino core, on a computer: Serial is standard output.
#pragma once
#include <stdint.h>
#include <stdio.h>

struct HostSerial {
  void begin(unsigned long) {}
  void print(const char *text) { fputs(text, stdout); }
  void print(unsigned long value) { printf("%lu", value); }
  void print(int value) { printf("%d", value); }
  template <typename Value>
  void println(Value value) {
    print(value);
    print("\n");
  }
};
static HostSerial Serial;
static inline void delay(unsigned long) {}
