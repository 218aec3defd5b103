/* Bytes in and out: files on this machine, semihosting on an emulated one. */
#ifndef CAMERA_IO_H_
#define CAMERA_IO_H_

#include <stddef.h>

void read_bytes(void *to, size_t bytes);
void write_bytes(const void *from, size_t bytes);

#endif
