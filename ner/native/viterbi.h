/* The best path through each sentence (Viterbi 1967), in float32.
 *
 * The walk keeps the greatest values only, those of every token; the tags they came from are found
 * again along the chosen path. Scores are levelled now and then, as ner/crf/core/viterbi.py does. */

#define HUGE_SCORE 1e30f /* sums of scores beyond it may overflow: numpy decides in float64 */
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

/* The scores of a CRF and room for a few sentences. */
struct walks {
    const struct search *job;
    struct layout layout;
    int64_t row, from_row, to_row; /* padded numbers of tags, of rows and of columns */
    float *moves;                  /* the block, (to_row / LANES, rows, LANES) */
    float *into;                   /* its columns, (columns, from_row) */
    float *few;                    /* the other moves */
    float *from[TOGETHER], *to[TOGETHER];
    float *values[TOGETHER]; /* (length, row) */
    void *room;
};

/* to[j] = max over i of from[i] + moves[i][j], of `n` sentences, where `n` is a constant. */
INLINE void best_step(const int n, const struct walks *walks, const float *const *from,
                      float *const *to) {
    const int64_t rows = walks->layout.rows, row = walks->to_row;
    for (int64_t j = 0; j < row; j += LANES) {
        const float *panel = walks->moves + j * rows;
        vec best[TOGETHER];
#pragma GCC unroll 4
        for (int s = 0; s < n; s++) best[s] = spread(-INFINITY);
        for (int64_t i = 0; i < rows; i++) {
            const vec move = load(panel + i * LANES);
#pragma GCC unroll 4
            for (int s = 0; s < n; s++) best[s] = most(from[s][i] + move, best[s]);
        }
#pragma GCC unroll 4
        for (int s = 0; s < n; s++) store(to[s] + j, best[s]);
    }
}

/* The values of a token, given what the block's moves reach: other moves, emissions, levels. */
static int finish_step(const struct walks *walks, const float *reached, const float *before,
                       const float *emissions, float *here, int level) {
    const struct layout *layout = &walks->layout;
    const int64_t tags = layout->tags;
    if (!layout->whole) {
        for (int64_t j = 0; j < tags; j++)
            here[j] = layout->column_of[j] < 0 ? -INFINITY : reached[layout->column_of[j]];
        for (int64_t k = 0; k < layout->few; k++) {
            const float score = before[layout->few_from[k]] + walks->few[k];
            float *to = here + layout->few_to[k];
            *to = score > *to ? score : *to;
        }
    }
    for (int64_t j = 0; j < tags; j++) here[j] += emissions[j];
    if (!level) return 1;
    const float most_of_all = greatest(here, tags);
    for (int64_t j = 0; j < tags; j++) here[j] -= most_of_all;
    return most_of_all > -INFINITY;
}

/* Copy the values of the block's rows. */
static void gather(const struct layout *layout, const float *values, float *from) {
    for (int64_t i = 0; i < layout->rows; i++) from[i] = values[layout->row_tags[i]];
}

/* The first place for which before[i] + moves[i] is greatest, of `row` in whole vectors. */
INLINE int64_t best_of(int64_t row, const float *before, const float *moves) {
    vec found = load(before) + load(moves);
    for (int64_t i = LANES; i < row; i += LANES)
        found = most(load(before + i) + load(moves + i), found);
    float lanes[LANES];
    store(lanes, found);
    const float best = greatest(lanes, LANES);
    int64_t place = 0;
    while (place + 1 < row && before[place] + moves[place] != best) place++;
    return place;
}

/* The tag from which the best walk comes to a tag. */
static int64_t came_from(const struct walks *walks, const float *before, int64_t to, float *from) {
    const struct layout *layout = &walks->layout;
    const int64_t column = layout->column_of[to];
    if (layout->whole) return best_of(walks->row, before, walks->into + to * walks->from_row);
    int64_t tag = 0;
    float best = -INFINITY;
    if (column >= 0) {
        const float *moves = walks->into + column * walks->from_row;
        gather(layout, before, from);
        const int64_t place = best_of(walks->from_row, from, moves);
        tag = layout->row_tags[place];
        best = from[place] + moves[place];
    }
    for (int64_t k = 0; k < layout->few; k++)
        if (layout->few_to[k] == to && before[layout->few_from[k]] + walks->few[k] > best) {
            tag = layout->few_from[k];
            best = before[tag] + walks->few[k];
        }
    return tag;
}

/* Read the best path off the values of a sentence; 0 where there is none. */
static int read_path(const struct walks *walks, int64_t length, const float *values, int64_t *path,
                     float *from) {
    const int64_t tags = walks->layout.tags, row = walks->row;
    const float *last = values + (length - 1) * row, *end = walks->job->end;
    int64_t tag = 0;
    for (int64_t i = 1; i < tags; i++)
        if (last[i] + end[i] > last[tag] + end[tag]) tag = i;
    if (!(last[tag] + end[tag] > -INFINITY)) return 0;
    for (int64_t t = length - 1; t > 0; t--) {
        path[t] = tag;
        tag = came_from(walks, values + (t - 1) * row, tag, from);
    }
    path[0] = tag;
    return 1;
}

/* Walk over `n` sentences side by side, a constant; 0 where numpy must decide. */
INLINE int walk(const int n, struct walks *walks, const int64_t *sentences) {
    const struct search *job = walks->job;
    const int64_t tags = job->tags, row = walks->row;
    const float *emissions[TOGETHER], *from[TOGETHER];
    float *to[TOGETHER];
    int64_t lengths[TOGETHER], longest = 0;
    for (int s = 0; s < n; s++) {
        lengths[s] = job->lengths[sentences[s]];
        emissions[s] = job->emissions + sentences[s] * job->length * tags;
        longest = lengths[s] > longest ? lengths[s] : longest;
        if (!ordinary(emissions[s], lengths[s] * tags)) return 0;
        for (int64_t i = 0; i < tags; i++) walks->values[s][i] = job->start[i] + emissions[s][i];
        from[s] = walks->from[s], to[s] = walks->to[s];
    }
    for (int64_t t = 1; t < longest; t++) {
        for (int s = 0; s < n; s++) { /* a sentence that has ended walks to where nobody looks */
            if (t >= lengths[s]) {
                from[s] = walks->from[s], to[s] = walks->to[s];
                continue;
            }
            const float *before = walks->values[s] + (t - 1) * row;
            if (walks->layout.whole)
                from[s] = before, to[s] = walks->values[s] + t * row;
            else
                gather(&walks->layout, before, walks->from[s]);
        }
        best_step(n, walks, from, to);
        for (int s = 0; s < n; s++) {
            float *here = walks->values[s] + t * row;
            if (t < lengths[s] && !finish_step(walks, to[s], here - row, emissions[s] + t * tags,
                                               here, t % LEVEL == 0))
                return 0;
        }
    }
    for (int s = 0; s < n; s++)
        if (!read_path(walks, lengths[s], walks->values[s],
                       job->paths + sentences[s] * job->length, walks->from[s]))
            return 0;
    return 1;
}

/* Lay out the moves and make room; 0 where there is no memory. */
static int prepare_walks(struct walks *walks, const struct search *job) {
    const int64_t tags = job->tags, row = padded(tags, LANES);
    struct layout *layout = &walks->layout;
    walks->job = job, walks->row = row, walks->room = NULL, layout->room = NULL;
    unsigned char *allowed = malloc((size_t)(tags * tags));
    for (int64_t k = 0; allowed && k < tags * tags; k++) allowed[k] = job->moves[k] > -INFINITY;
    const int found = allowed && find_layout(layout, allowed, tags);
    free(allowed);
    if (!found) return 0;
    walks->from_row = padded(layout->rows, LANES), walks->to_row = padded(layout->columns, LANES);
    const int64_t block = layout->rows * walks->to_row, back = layout->columns * walks->from_row;
    const int64_t values = (job->length + 1) * row;
    const int64_t size = block + back + layout->few + TOGETHER * (2 * row + values) + 2 * LANES;
    float *next = walks->room = calloc((size_t)size, sizeof *next);
    if (!next) return 0;
    next = (float *)(((uintptr_t)next + 4 * LANES - 1) / (4 * LANES) * (4 * LANES));
    walks->moves = next, walks->into = next += block;
    next += back;
    for (int s = 0; s < TOGETHER; s++, next += 2 * row + values)
        walks->from[s] = next, walks->to[s] = next + row, walks->values[s] = next + 2 * row;
    walks->few = next;
    for (int64_t i = 0; i < layout->columns * walks->from_row; i++) walks->into[i] = -INFINITY;
    for (int64_t i = 0; i < layout->rows; i++)
        for (int64_t j = 0; j < layout->columns; j++) {
            const float move = job->moves[layout->row_tags[i] * tags + layout->column_tags[j]];
            walks->moves[(j / LANES * layout->rows + i) * LANES + j % LANES] = move;
            walks->into[j * walks->from_row + i] = move;
        }
    for (int64_t k = 0; k < layout->few; k++)
        walks->few[k] = job->moves[layout->few_from[k] * tags + layout->few_to[k]];
    return 1;
}

static int by_number(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The sentences that have a token, those of like length together; NULL without memory. */
static int64_t *by_length(const struct search *job, int64_t *count) {
    int64_t *order = malloc((size_t)(job->batch + 1) * sizeof *order);
    *count = 0;
    for (int64_t sentence = 0; order && sentence < job->batch; sentence++)
        if (job->lengths[sentence])
            order[(*count)++] = job->lengths[sentence] * job->batch + sentence;
    if (order) qsort(order, (size_t)*count, sizeof *order, by_number);
    for (int64_t i = 0; order && i < *count; i++) order[i] %= job->batch;
    return order;
}

/* The best paths of all; 0 where a score is not ordinary or a sentence has no legal path. */
static int viterbi(const struct search *job) {
    const int64_t tags = job->tags;
    if (!(ordinary(job->moves, tags * tags) & ordinary(job->start, tags) & ordinary(job->end, tags)))
        return 0;
    struct walks walks = {0};
    int64_t count, next = 0;
    int64_t *order = by_length(job, &count);
    int fine = order && prepare_walks(&walks, job);
    for (; fine && next + TOGETHER <= count; next += TOGETHER)
        fine = walk(TOGETHER, &walks, order + next);
    for (; fine && next < count; next++) fine = walk(1, &walks, order + next);
    free(order);
    free(walks.layout.room);
    free(walks.room);
    return fine;
}
