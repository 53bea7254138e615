/* The best path through each sentence (Viterbi 1967), in float32.
 *
 * The walk keeps the greatest values only, those of every token; the tags they came from are found
 * again along the chosen path. Scores are levelled now and then, as ner/crf/core/viterbi.py does. */

#define HUGE_SCORE 1e30f  /* sums of scores beyond it may overflow: numpy decides in float64 */
enum { LEVEL = 32 };

/* Whether all scores are far within the range of float32, or minus infinity, and none is NaN. */
static int ordinary(const float *scores, int64_t n) {
    int fine = 1;
    for (int64_t i = 0; i < n; i++)
        fine &= (scores[i] < HUGE_SCORE) & ((scores[i] > -HUGE_SCORE) | (scores[i] == -INFINITY));
    return fine;
}

static float greatest(const float *scores, int64_t n) {
    float found = scores[0];
    for (int64_t i = 1; i < n; i++) found = scores[i] > found ? scores[i] : found;
    return found;
}

/* after[j] = max over i of before[i] + moves[i][j], plus emission[j]; rows are padded. */
INLINE void best_step(int64_t tags, const float *before, const float *moves, const float *emission,
                      float *after) {
    const int64_t row = padded(tags, LANES);
    for (int64_t j = 0; j < row; j += LANES) {
        const float *column = moves + j;
        vec even = before[0] + load(column), odd = even;
        int64_t i = 1;
        for (; i + 1 < tags; i += 2) { /* two maxima, since one would wait for itself */
            even = most(before[i] + load(column + i * row), even);
            odd = most(before[i + 1] + load(column + (i + 1) * row), odd);
        }
        if (i < tags) even = most(before[i] + load(column + i * row), even);
        const int64_t left = tags - j;
        const vec here = left < LANES ? load_some(emission + j, left) : load(emission + j);
        store(after + j, most(even, odd) + here);
    }
}

/* The first tag i for which before[i] + moves[i] is greatest; `moves` are those to one tag. */
INLINE int64_t came_from(int64_t row, const float *before, const float *moves) {
    vec found = load(before) + load(moves);
    for (int64_t i = LANES; i < row; i += LANES) found = most(load(before + i) + load(moves + i), found);
    float lanes[LANES];
    store(lanes, found);
    const float best = greatest(lanes, LANES);
    int64_t tag = 0;
    while (before[tag] + moves[tag] != best) tag++;
    return tag;
}

/* The best path of one sentence of `length` tokens; 0 where there is none. */
static int best_path(const struct search *job, const float *emissions, int64_t length,
                     int64_t *path) {
    const int64_t tags = job->tags, row = padded(tags, LANES);
    const float *moves = job->room, *into = moves + tags * row;
    float *values = job->room + 2 * tags * row;
    for (int64_t i = 0; i < row; i++)
        values[i] = i < tags ? job->start[i] + emissions[i] : 0.0f;
    for (int64_t t = 1; t < length; t++) {
        float *here = values + t * row;
        best_step(tags, here - row, moves, emissions + t * tags, here);
        if (t % LEVEL == 0) {
            const float most_of_all = greatest(here, tags);
            if (most_of_all == -INFINITY) return 0;
            for (int64_t i = 0; i < row; i++) here[i] -= most_of_all;
        }
    }
    const float *last = values + (length - 1) * row;
    int64_t tag = 0;
    for (int64_t i = 1; i < tags; i++)
        if (last[i] + job->end[i] > last[tag] + job->end[tag]) tag = i;
    if (last[tag] + job->end[tag] == -INFINITY) return 0;
    for (int64_t t = length - 1; t > 0; t--) {
        path[t] = tag;
        tag = came_from(row, values + (t - 1) * row, into + tag * row);
    }
    path[0] = tag;
    return 1;
}

/* The best paths of all; 0 where a score is not ordinary or a sentence has no legal path. */
static int viterbi(const struct search *job) {
    const int64_t tags = job->tags, row = padded(tags, LANES);
    if (!(ordinary(job->moves, tags * tags) & ordinary(job->start, tags) & ordinary(job->end, tags)))
        return 0;
    float *moves = job->room, *into = moves + tags * row;
    for (int64_t i = 0; i < tags; i++)
        for (int64_t j = 0; j < row; j++) {
            moves[i * row + j] = j < tags ? job->moves[i * tags + j] : 0.0f;
            into[i * row + j] = j < tags ? job->moves[j * tags + i] : -INFINITY;
        }
    for (int64_t sentence = 0; sentence < job->batch; sentence++) {
        const int64_t length = job->lengths[sentence], at = sentence * job->length;
        const float *emissions = job->emissions + at * tags;
        if (!length) continue;
        if (!ordinary(emissions, length * tags)) return 0;
        if (!best_path(job, emissions, length, job->paths + at)) return 0;
    }
    return 1;
}
