/* CONV_2D with the DSP extension, of weights pruned to zero in blocks. */
#define CONV_SPARSE
#include "conv_dsp_tiles.h"
