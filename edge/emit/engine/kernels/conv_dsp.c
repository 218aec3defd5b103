/* CONV_2D with the DSP extension, of weights that are mostly not zero. */
#include "conv_dsp_tiles.h"
