/* The kernels of one instruction set, LANES wide and called NAME; included by each in turn. */
#include "kernels.h"

#include <math.h>
#include <stdlib.h>

#include "vectors.h"

#include "lstm.h"
#include "layout.h"
#include "viterbi.h"
#include "sums.h"
#include "characters.h"

const struct kernels NAME = {
    CALLED, LANES, pack, lstm, viterbi, span_probabilities, probable_spans, character_maxima,
    character_gradients,
};
