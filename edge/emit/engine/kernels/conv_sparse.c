/* CONV_2D in portable C, of weights pruned to zero in blocks. */
#define CONV_SPARSE
#include "conv_tiles.h"
