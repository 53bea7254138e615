/* The recurrence of an LSTM, over sentences laid out step by step without padding.
 *
 * Gates are those of ner/inference/lstm.py: in the order i, f, o, g, where g is doubled, since
 * tanh(x) = (1 - exp(-2x)) / (1 + exp(-2x)); states are kept halved, with weights that fit. The
 * weights are arranged in blocks of LANES units, [block][unit before][gate][LANES], so that a tile
 * of a few rows keeps all its sums in registers and goes on to the new state at once. */

#if LANES == 8 || (LANES == 4 && defined(__x86_64__))
enum { ROWS = 3 };  /* of a tile: four sums a row, and 16 registers */
#else
enum { ROWS = 6 };  /* 32 registers */
#endif
enum { BLOCK = 48 };  /* rows whose states stay in the fastest cache while weights pass by */

static void pack(int64_t width, const float *recurrent, float *packed) {
    for (int64_t first = 0; first < width; first += LANES)
        for (int64_t before = 0; before < width; before++)
            for (int64_t gate = 0; gate < 4; gate++)
                for (int64_t unit = first; unit < first + LANES; unit++)
                    *packed++ = unit < width ? recurrent[(before * 4 + gate) * width + unit] : 0.0f;
}

/* The new halved state, given the sums of the gates; the cell is overwritten. */
INLINE vec new_state(const vec *sums, vec *cell) {
    const vec enter = exponential(-sums[0]), keep = exponential(-sums[1]);
    const vec leave = exponential(-sums[2]), fresh = exponential(-sums[3]);
    /* c / (1 + keep) + (1 - fresh) / ((1 + enter) (1 + fresh)), in one division */
    const vec both = (1.0f + enter) * (1.0f + fresh), kept = 1.0f + keep;
    *cell = (*cell * both + (1.0f - fresh) * kept) / (both * kept);
    const vec squashed = exponential(-2.0f * *cell);
    return (0.5f - 0.5f * squashed) / ((1.0f + leave) * (1.0f + squashed));
}

/* One step of the recurrence: `before` and `after` are the states, (rows, padded width). */
struct step {
    const struct recurrence *job;
    const int64_t *index;
    const float *before;  /* NULL at the first step */
    float *after, *cells;
    int64_t padded, left;  /* tokens of this step and those to come */
};

/* Load what the input gives to LANES units of a row; the last units of a row may be fewer. */
INLINE void load_gates(vec *sums, const float *gates, int64_t width, int64_t unit) {
    const int64_t left = width - unit;
    for (int64_t gate = 0; gate < 4; gate++) {
        const float *from = gates + gate * width + unit;
        sums[gate] = left < LANES ? load_some(from, left) : load(from);
    }
}

/* Have the gates of a later row brought into the cache: they lie anywhere in a large table. */
INLINE void fetch_gates(const float *gates, int64_t width, int64_t unit) {
    for (int64_t gate = 0; gate < 4; gate++) __builtin_prefetch(gates + gate * width + unit, 0, 2);
}

/* Advance LANES units of `n` rows, where `n` is a constant. */
INLINE void tile(const int n, const struct step *step, int64_t row, int64_t unit) {
    const struct recurrence *job = step->job;
    const int64_t width = job->width, at = row * step->padded + unit;
    vec sums[ROWS][4];
#pragma GCC unroll 8
    for (int r = 0; r < n; r++) {
        const int64_t token = row + r;
        load_gates(sums[r], job->gates + step->index[token] * job->gates_stride, width, unit);
        if (token + BLOCK < step->left)
            fetch_gates(job->gates + step->index[token + BLOCK] * job->gates_stride, width, unit);
    }
    if (step->before) {
        const float *states = step->before + row * step->padded;
        const float *weights = job->weights + unit * 4 * width;
        for (int64_t k = 0; k < width; k++, weights += 4 * LANES) {
            const vec i = load(weights), f = load(weights + LANES);
            const vec o = load(weights + 2 * LANES), g = load(weights + 3 * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < n; r++) {
                const vec state = spread(states[r * step->padded + k]);
                sums[r][0] += state * i;
                sums[r][1] += state * f;
                sums[r][2] += state * o;
                sums[r][3] += state * g;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < n; r++) {
        vec cell = load(step->cells + at + r * step->padded);
        store(step->after + at + r * step->padded, new_state(sums[r], &cell));
        store(step->cells + at + r * step->padded, cell);
    }
}

/* Advance LANES units of one row: two sums for each gate, since one would wait for itself. */
INLINE void tile_of_one(const struct step *step, int64_t unit) {
    const struct recurrence *job = step->job;
    const int64_t width = job->width;
    vec sums[4], more[4] = {{0}};
    load_gates(sums, job->gates + step->index[0] * job->gates_stride, width, unit);
    if (step->before) {
        const float *weights = job->weights + unit * 4 * width;
        int64_t k = 0;
        for (; k + 1 < width; k += 2, weights += 8 * LANES) {
            const vec even = spread(step->before[k]), odd = spread(step->before[k + 1]);
#pragma GCC unroll 4
            for (int gate = 0; gate < 4; gate++) {
                sums[gate] += even * load(weights + gate * LANES);
                more[gate] += odd * load(weights + (4 + gate) * LANES);
            }
        }
        for (int gate = 0; k < width && gate < 4; gate++)
            sums[gate] += step->before[k] * load(weights + gate * LANES);
        for (int gate = 0; gate < 4; gate++) sums[gate] += more[gate];
    }
    vec cell = load(step->cells + unit);
    store(step->after + unit, new_state(sums, &cell));
    store(step->cells + unit, cell);
}

/* Advance the rows [row, last), all units; remainders are split evenly, so no tile is tiny. */
static void advance(const struct step *step, int64_t first, int64_t last) {
    for (int64_t unit = 0; unit < step->job->width; unit += LANES)
        for (int64_t row = first; row < last;) {
            const int64_t left = last - row, tiles = (left + ROWS - 1) / ROWS;
            const int64_t n = (left + tiles - 1) / tiles;
            switch (n) {
                case 1: tile(1, step, row, unit); break;
                case 2: tile(2, step, row, unit); break;
                case 3: tile(3, step, row, unit); break;
#if LANES == 16 || !defined(__x86_64__)
                case 4: tile(4, step, row, unit); break;
                case 5: tile(5, step, row, unit); break;
                case 6: tile(6, step, row, unit); break;
#endif
            }
            row += n;
        }
}

static void lstm(const struct recurrence *job) {
    const int64_t width = job->width, size = job->steps ? job->counts[0] : 0;
    const int64_t row = padded(width, LANES);
    float *states[2] = {job->room, job->room + size * row};
    struct step step = {job, job->index, NULL, NULL, job->room + 2 * size * row, row, 0};
    for (int64_t t = 0; t < job->steps; t++) step.left += job->counts[t];
    const int64_t *places = job->places;
    for (int64_t t = 0; t < job->steps; t++) {
        const int64_t rows = job->counts[t];
        step.after = states[t & 1];
        for (int64_t first = 0; first < rows; first += BLOCK) {
            const int64_t last = first + BLOCK < rows ? first + BLOCK : rows;
            if (rows == 1)
                for (int64_t unit = 0; unit < width; unit += LANES) tile_of_one(&step, unit);
            else
                advance(&step, first, last);
            for (int64_t r = first; r < last; r++)
                memcpy(job->outputs + places[r] * job->outputs_stride, step.after + r * row,
                       (size_t)width * sizeof(float));
        }
        step.before = step.after;
        step.index += rows;
        step.left -= rows;
        places += rows;
    }
}
