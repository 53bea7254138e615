/* The kernels of one instruction set, LANES wide and called NAME; included by each in turn. */
#include "kernels.h"

#include <math.h>

#include "vectors.h"

#include "lstm.h"
#include "viterbi.h"

const struct kernels NAME = {CALLED, LANES, pack, lstm, viterbi};
