/* The scaled forward-backward algorithm (Rabiner 1989) in float64, and the probability of spans.
 *
 * alpha(t) = (alpha(t-1) W) * P(t) and beta(t-1) = W (P(t) * beta(t)), each divided by its sum at
 * every token. Where the range of the scores is too wide for float64, numpy decides in log space. */

#define FALL 250.0     /* the most that potentials may fall at one step, in logs */
#define CUT (-650.0)   /* a score so far below the greatest weighs nothing */
#define LEAST 7.1e-218 /* exp(-2 * FALL): sums of alpha * beta below it are not trusted */
#define SLACK 1e-9     /* rounding of a marginal that bounds a probability */

/* Moves in one direction: the block, and the others. */
struct side {
    const int64_t *from_tags, *to_tags;
    int64_t from_count, to_count, row; /* padded number of tags that the block leads to */
    double *block;                     /* (row / DOUBLES, from_count, DOUBLES) */
    const int64_t *few_from, *few_to;
};

/* The factors of a CRF, and room for a step of a few sentences. */
struct factors {
    const struct chain *chain;
    struct layout layout;
    int64_t row; /* padded number of tags */
    struct side forth, back;
    double *few;
    double *from[TOGETHER], *to[TOGETHER];
    void *room;
};

/* The sums over the paths of one sentence. */
struct sums {
    const struct factors *factors;
    int64_t length;
    double *nodes, *alpha, *beta; /* (length, row): potentials of emissions, and messages */
    double *after;                /* (length, row): nodes * beta */
    double *forth, *back, *total; /* (length,): what alpha and beta were divided by; alpha beta */
};

INLINE dvec load_doubles(const double *from) { return *(const dvec *)from; }
INLINE void store_doubles(double *to, dvec x) { *(dvec *)to = x; }

/* exp(x) for x in [CUT, 0], to about 1 ulp; 0 below. */
INLINE dvec potential(dvec x) {
    const lvec held = (lvec)(x > CUT);
    x = (dvec)((held & (lvec)x)); /* 0 where it weighs nothing */
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: see `exponential` */
    dvec k = x * 1.4426950408889634 + magic;
    const lvec bits = (lvec)k;
    k -= magic;
    dvec f = x - k * 0.6931471803691238;
    f = f - k * 1.9082149292705877e-10;
    dvec p = f * (1.0 / 6227020800.0) + 1.0 / 479001600.0; /* the series: |f| <= log(2) / 2 */
    p = p * f + 1.0 / 39916800.0;
    p = p * f + 1.0 / 3628800.0;
    p = p * f + 1.0 / 362880.0;
    p = p * f + 1.0 / 40320.0;
    p = p * f + 1.0 / 5040.0;
    p = p * f + 1.0 / 720.0;
    p = p * f + 1.0 / 120.0;
    p = p * f + 1.0 / 24.0;
    p = p * f + 1.0 / 6.0;
    p = p * f + 0.5;
    p = p * f + 1.0;
    p = p * f + 1.0;
    p = p * (dvec)((bits << 52) + ((uint64_t)1023 << 52));
    return (dvec)(held & (lvec)p);
}

/* The potentials of a token's emissions; 0 where float64 may not hold what they do. */
static int node(const struct factors *factors, const float *emissions, double *node) {
    const struct chain *chain = factors->chain;
    const float highest = greatest(emissions, chain->tags);
    const double lowest = chain->fall - FALL, scale = 1.0 / chain->temperature;
    int fine = highest < INFINITY && highest > -INFINITY;
    for (int64_t tag = 0; tag < chain->tags; tag++) {
        node[tag] = ((double)emissions[tag] - (double)highest) * scale;
        fine &= node[tag] >= lowest || node[tag] <= CUT; /* false for NaN */
    }
    for (int64_t tag = chain->tags; tag < factors->row; tag++) node[tag] = -INFINITY;
    for (int64_t tag = 0; tag < factors->row; tag += DOUBLES)
        store_doubles(node + tag, potential(load_doubles(node + tag)));
    return fine;
}

INLINE double sum_of(dvec x) {
    double parts[DOUBLES], sum = 0.0;
    store_doubles(parts, x);
    for (int i = 0; i < DOUBLES; i++) sum += parts[i];
    return sum;
}

/* to = from M by the block alone, of `n` sentences, where `n` is a constant. */
INLINE void sum_step(const int n, const struct side *side, const double *const *from,
                     double *const *to) {
    for (int64_t j = 0; j < side->row; j += DOUBLES) {
        const double *panel = side->block + j * side->from_count;
        dvec sums[TOGETHER] = {{0}}, more[TOGETHER] = {{0}};
        int64_t i = 0;
        for (; i + 1 < side->from_count; i += 2) { /* two sums: one would wait for itself */
            const dvec even = load_doubles(panel + i * DOUBLES);
            const dvec odd = load_doubles(panel + (i + 1) * DOUBLES);
#pragma GCC unroll 4
            for (int s = 0; s < n; s++) {
                sums[s] += from[s][i] * even;
                more[s] += from[s][i + 1] * odd;
            }
        }
#pragma GCC unroll 4
        for (int s = 0; s < n; s++) {
            if (i < side->from_count) sums[s] += from[s][i] * load_doubles(panel + i * DOUBLES);
            store_doubles(to[s] + j, sums[s] + more[s]);
        }
    }
}

/* to = from M, of `n` sentences; NULL stands for one that has ended. */
INLINE void reach(const int n, const struct factors *factors, const struct side *side,
                  const double *const *before, double *const *to) {
    const double *from[TOGETHER];
    double *reached[TOGETHER];
    const int whole = factors->layout.whole;
    for (int s = 0; s < n; s++) {
        from[s] = whole && before[s] ? before[s] : factors->from[s];
        reached[s] = whole && before[s] ? to[s] : factors->to[s];
        for (int64_t i = 0; !whole && before[s] && i < side->from_count; i++)
            factors->from[s][i] = before[s][side->from_tags[i]];
    }
    sum_step(n, side, from, reached);
    for (int s = 0; !whole && s < n; s++) {
        if (!before[s]) continue;
        memset(to[s], 0, (size_t)factors->row * sizeof(double));
        for (int64_t j = 0; j < side->to_count; j++) to[s][side->to_tags[j]] = reached[s][j];
        for (int64_t k = 0; k < factors->layout.few; k++)
            to[s][side->few_to[k]] += before[s][side->few_from[k]] * factors->few[k];
    }
}

/* x = x * by, divided by its sum, which is returned; `by` may be NULL. */
INLINE double level(int64_t row, double *x, const double *by) {
    dvec whole = {0};
    for (int64_t j = 0; j < row; j += DOUBLES) {
        dvec here = load_doubles(x + j);
        if (by) here = here * load_doubles(by + j);
        store_doubles(x + j, here);
        whole += here;
    }
    const double sum = sum_of(whole), scale = 1.0 / sum;
    for (int64_t j = 0; j < row; j += DOUBLES) store_doubles(x + j, load_doubles(x + j) * scale);
    return sum;
}

/* after = nodes * beta at a token, and the sum of alpha * beta, which is returned. */
INLINE double join(const struct sums *sums, int64_t at, int64_t row) {
    dvec total = {0};
    for (int64_t j = at; j < at + row; j += DOUBLES) {
        const dvec behind = load_doubles(sums->beta + j);
        store_doubles(sums->after + j, load_doubles(sums->nodes + j) * behind);
        total += load_doubles(sums->alpha + j) * behind;
    }
    return sum_of(total);
}

INLINE void walk_forth(const int n, struct sums *some, int64_t longest) {
    const struct factors *factors = some->factors;
    const int64_t row = factors->row;
    const double *before[TOGETHER];
    double *to[TOGETHER];
    for (int s = 0; s < n; s++) {
        memcpy(some[s].alpha, factors->chain->start, (size_t)factors->chain->tags * sizeof(double));
        some[s].forth[0] = level(row, some[s].alpha, some[s].nodes);
    }
    for (int64_t t = 1; t < longest; t++) {
        for (int s = 0; s < n; s++) {
            before[s] = t < some[s].length ? some[s].alpha + (t - 1) * row : NULL;
            to[s] = some[s].alpha + t * row;
        }
        reach(n, factors, &factors->forth, before, to);
        for (int s = 0; s < n; s++)
            if (before[s]) some[s].forth[t] = level(row, to[s], some[s].nodes + t * row);
    }
}

/* It comes to all sums of alpha * beta, which must not be so small that something was lost. */
INLINE int walk_back(const int n, struct sums *some, int64_t longest) {
    const struct factors *factors = some->factors;
    const int64_t row = factors->row;
    const double *behind[TOGETHER];
    double *to[TOGETHER];
    int fine = 1;
    for (int s = 0; s < n; s++) {
        double *last = some[s].beta + (some[s].length - 1) * row;
        memcpy(last, factors->chain->end, (size_t)factors->chain->tags * sizeof(double));
        level(row, last, NULL);
    }
    for (int64_t step = 0; step < longest; step++) {
        for (int s = 0; s < n; s++) {
            const int64_t t = some[s].length - 1 - step;
            if (t >= 0) {
                some[s].total[t] = join(some + s, t * row, row);
                fine &= some[s].total[t] >= LEAST; /* false for NaN */
            }
            behind[s] = t > 0 ? some[s].after + t * row : NULL;
            to[s] = behind[s] ? some[s].beta + (t - 1) * row : NULL;
        }
        reach(n, factors, &factors->back, behind, to);
        for (int s = 0; s < n; s++)
            if (behind[s]) some[s].back[some[s].length - 2 - step] = level(row, to[s], NULL);
    }
    return fine;
}

/* Sum over the paths of `n` sentences, a constant; 0 where numpy must decide. */
INLINE int sum_paths(const int n, struct sums *some, const int64_t *sentences) {
    const struct chain *chain = some->factors->chain;
    const int64_t row = some->factors->row;
    int64_t longest = 0;
    for (int s = 0; s < n; s++) {
        const float *emissions = chain->emissions + sentences[s] * chain->length * chain->tags;
        const int64_t length = some[s].length = chain->lengths[sentences[s]];
        longest = length > longest ? length : longest;
        memset(some[s].alpha, 0, (size_t)row * sizeof(double));
        memset(some[s].beta + (length - 1) * row, 0, (size_t)row * sizeof(double));
        for (int64_t t = 0; t < length; t++)
            if (!node(some->factors, emissions + t * chain->tags, some[s].nodes + t * row)) return 0;
    }
    walk_forth(n, some, longest);
    return walk_back(n, some, longest);
}

static int sum_sentences(int n, struct sums *some, const int64_t *sentences) {
    if (n == TOGETHER) return sum_paths(TOGETHER, some, sentences);
    int fine = 1;
    for (int s = 0; s < n; s++) fine &= sum_paths(1, some + s, sentences + s);
    return fine;
}

/* The share of all paths in which a span ends with its last tag at `token`, of which `share`, as
 * alpha is scaled, come to this tag by way of the span. */
static double ending(const struct sums *sums, double share, int64_t token, int64_t tag, int64_t no) {
    const int64_t row = sums->factors->row, at = token * row;
    const struct chain *chain = sums->factors->chain;
    double behind = sums->beta[at + tag];
    if (no >= 0 && token + 1 < sums->length) { /* all next tags but the one that prolongs it */
        const double *moves = chain->moves + tag * chain->tags, *next = sums->after + at + row;
        behind = 0.0;
        for (int64_t to = 0; to < chain->tags; to++)
            if (to != no) behind += moves[to] * next[to];
        behind /= sums->back[token];
    }
    const double probability = share * behind / sums->total[token];
    return probability < 1.0 ? probability : 1.0;
}

/* What comes of a share of paths at the token before, by way of a move from tag to tag. */
INLINE double moved(const struct sums *sums, double share, int64_t token, int64_t from, int64_t to) {
    const struct chain *chain = sums->factors->chain;
    const double node = sums->nodes[token * sums->factors->row + to];
    const double factor = chain->moves[from * chain->tags + to] * node;
    return share * (factor / sums->forth[token]);
}

static double span_probability(const struct sums *sums, const struct labels *labels, int64_t start,
                               int64_t end, int64_t label) {
    int64_t tag = end == start + 1 ? labels->single[label] : labels->first[label];
    double share = sums->alpha[start * sums->factors->row + tag];
    for (int64_t token = start + 1; token < end; token++) {
        const int64_t next = token == end - 1 ? labels->last[label] : labels->inside[label];
        share = moved(sums, share, token, tag, next);
        tag = next;
    }
    return ending(sums, share, end - 1, tag, labels->prolonging[label]);
}

/* Copy the block of the moves, as rows to columns or, turned, as columns to rows. */
static void fill_side(const struct chain *chain, struct side *side, int turned) {
    for (int64_t i = 0; i < side->from_count; i++)
        for (int64_t j = 0; j < side->to_count; j++) {
            const int64_t from = side->from_tags[i], to = side->to_tags[j];
            side->block[(j / DOUBLES * side->from_count + i) * DOUBLES + j % DOUBLES] =
                chain->moves[turned ? to * chain->tags + from : from * chain->tags + to];
        }
}

/* Lay out the moves and make room for some sentences; 0 where there is no memory. */
static int prepare_sums(struct factors *factors, struct sums *some, const struct chain *chain) {
    const int64_t tags = chain->tags, row = padded(tags, DOUBLES);
    struct layout *layout = &factors->layout;
    factors->chain = chain, factors->row = row, factors->room = NULL, layout->room = NULL;
    unsigned char *allowed = malloc((size_t)(tags * tags));
    for (int64_t k = 0; allowed && k < tags * tags; k++) allowed[k] = chain->moves[k] > 0.0;
    const int found = allowed && find_layout(layout, allowed, tags);
    free(allowed);
    if (!found) return 0;
    const int64_t *rows = layout->row_tags, *columns = layout->column_tags;
    const int64_t to = padded(layout->columns, DOUBLES), back = padded(layout->rows, DOUBLES);
    const int64_t size = chain->length * row, blocks = layout->rows * to + layout->columns * back;
    const int64_t sentence = 2 * row + 4 * size + 3 * chain->length;
    double *next = factors->room =
        calloc((size_t)(blocks + TOGETHER * sentence + layout->few), sizeof *next);
    if (!next) return 0;
    const struct side forth = {rows, columns, layout->rows, layout->columns, to, next,
                               layout->few_from, layout->few_to};
    const struct side turned = {columns, rows, layout->columns, layout->rows, back,
                                next + layout->rows * to, layout->few_to, layout->few_from};
    factors->forth = forth, factors->back = turned;
    next += blocks;
    for (int s = 0; s < TOGETHER; s++, next += sentence) {
        double *own = next + 2 * row, *ends = own + 4 * size;
        const struct sums sums = {factors, 0, own, own + size, own + 2 * size, own + 3 * size,
                                  ends, ends + chain->length, ends + 2 * chain->length};
        factors->from[s] = next, factors->to[s] = next + row, some[s] = sums;
    }
    factors->few = next;
    fill_side(chain, &factors->forth, 0);
    fill_side(chain, &factors->back, 1);
    for (int64_t k = 0; k < layout->few; k++)
        factors->few[k] = chain->moves[layout->few_from[k] * tags + layout->few_to[k]];
    return 1;
}

static void release_sums(struct factors *factors) {
    free(factors->layout.room);
    free(factors->room);
}

/* The probabilities of spans, which come sentence by sentence; 0 where numpy must decide. */
static int span_probabilities(const struct chain *chain, const struct labels *labels,
                              const struct spans *spans, double *probabilities) {
    struct factors factors;
    struct sums some[TOGETHER];
    int fine = prepare_sums(&factors, some, chain);
    for (int64_t first = 0; fine && first < spans->count;) {
        int64_t sentences[TOGETHER], last = first;
        int n = 0;
        for (; last < spans->count; last++) {
            if (n && spans->rows[last] == sentences[n - 1]) continue;
            if (n == TOGETHER) break;
            sentences[n++] = spans->rows[last];
        }
        fine = sum_sentences(n, some, sentences);
        for (int64_t i = first, s = 0; fine && i < last; i++) {
            if (spans->rows[i] != sentences[s]) s++;
            probabilities[i] = span_probability(some + s, labels, spans->starts[i], spans->ends[i],
                                                spans->labels[i]);
        }
        first = last;
    }
    release_sums(&factors);
    return fine;
}

/* Take the spans of one label that begin at a token. Each of a span's tags is at least as probable
 * as the span: it ends where none is that probable. -1 where there is no memory. */
static int spans_from(const struct sums *sums, const struct labels *labels, struct found *found,
                      struct probable span, double least) {
    const int64_t row = sums->factors->row, label = span.label, no = labels->prolonging[label];
    const int64_t inside = labels->inside[label], last = labels->last[label];
    int64_t tag = labels->first[label], token = span.start;
#define LIKELY(t, tag) \
    (sums->alpha[(t) * row + (tag)] * sums->beta[(t) * row + (tag)] >= \
     (least - SLACK) * sums->total[t])
    const int64_t single = labels->single[label];
    if (LIKELY(token, single)) {
        span.end = token + 1;
        span.probability = ending(sums, sums->alpha[token * row + single], token, single, no);
        if (span.probability >= least && !keep(found, &span)) return -1;
    }
    double share = sums->alpha[token * row + tag];
    for (int going = LIKELY(token, tag); going && ++token < sums->length;) {
        if (LIKELY(token, last)) {
            span.end = token + 1;
            span.probability = ending(sums, moved(sums, share, token, tag, last), token, last, no);
            if (span.probability >= least && !keep(found, &span)) return -1;
        }
        share = moved(sums, share, token, tag, inside);
        tag = inside;
        going = LIKELY(token, inside);
    }
#undef LIKELY
    return 1;
}

/* Take the spans of some sentences; -1 where there is no memory, 0 where numpy must decide. */
static int spans_of(int n, struct sums *some, const int64_t *sentences, const struct labels *labels,
                    double least, struct found *found) {
    if (!sum_sentences(n, some, sentences)) return 0;
    for (int s = 0; s < n; s++)
        for (int64_t token = 0; token < some[s].length; token++)
            for (int64_t label = 0; label < labels->count; label++) {
                const struct probable span = {sentences[s], token, 0, label, 0.0};
                if (spans_from(some + s, labels, found, span, least) < 0) return -1;
            }
    return 1;
}

/* All spans of at least a probability; 0 where numpy must decide, -1 where there is no memory. */
static int probable_spans(const struct chain *chain, const struct labels *labels, double least,
                          struct found *found) {
    struct factors factors;
    struct sums some[TOGETHER];
    int done = prepare_sums(&factors, some, chain), n = 0;
    int64_t sentences[TOGETHER];
    for (int64_t sentence = 0; done > 0 && sentence < chain->batch; sentence++) {
        if (chain->lengths[sentence]) sentences[n++] = sentence;
        if (n == TOGETHER) done = spans_of(n, some, sentences, labels, least, found), n = 0;
    }
    if (done > 0 && n) done = spans_of(n, some, sentences, labels, least, found);
    release_sums(&factors);
    return done;
}
