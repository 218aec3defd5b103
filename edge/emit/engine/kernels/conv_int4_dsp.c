/* CONV_2D with the DSP extension, of weights of four bits. */
#define CONV_INT4
#include "conv_dsp_tiles.h"
