/* The scaled forward-backward algorithm (Rabiner 1989) in float64, and the probability of spans.
 *
 * alpha(t) = (alpha(t-1) W) * P(t) and beta(t-1) = W (P(t) * beta(t)), each divided by its sum at
 * every token. Where the range of the scores is too wide for float64, numpy decides in log space. */

#define FALL 250.0     /* the most that potentials may fall at one step, in logs */
#define CUT (-650.0)   /* a score so far below the greatest weighs nothing */
#define LEAST 7.1e-218 /* exp(-2 * FALL): sums of alpha * beta below it are not trusted */
#define SLACK 1e-9     /* rounding of a marginal that bounds a probability */

/* The sums over the paths of one sentence; every row is padded to `row` numbers. */
struct sums {
    const struct chain *chain;
    int64_t row, length;
    double *moves, *turned;       /* (tags, row), from and to */
    double *nodes, *alpha, *beta; /* (length, row): potentials of emissions, and messages */
    double *after;                /* (length, row): nodes * beta */
    double *forth, *back, *total; /* (length,): what alpha and beta were divided by; alpha beta */
};

INLINE dvec load_doubles(const double *from) { return *(const dvec *)from; }
INLINE void store_doubles(double *to, dvec x) { *(dvec *)to = x; }

/* exp(x) for x in [CUT, 0], to about 1 ulp; 0 below. */
INLINE dvec potential(dvec x) {
    const lvec held = x > CUT;
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
    p = p * (dvec)((bits << 52) + ((int64_t)1023 << 52));
    return (dvec)(held & (lvec)p);
}

/* The potentials of a token's emissions; 0 where float64 may not hold what they do. */
static int node(const struct sums *sums, const float *emissions, double *node) {
    const struct chain *chain = sums->chain;
    const float highest = greatest(emissions, chain->tags);
    const double lowest = chain->fall - FALL, scale = 1.0 / chain->temperature;
    int fine = highest < INFINITY && highest > -INFINITY;
    for (int64_t tag = 0; tag < chain->tags; tag++) {
        node[tag] = ((double)emissions[tag] - (double)highest) * scale;
        fine &= node[tag] >= lowest || node[tag] <= CUT; /* false for NaN */
    }
    for (int64_t tag = chain->tags; tag < sums->row; tag++) node[tag] = -INFINITY;
    for (int64_t tag = 0; tag < sums->row; tag += DOUBLES)
        store_doubles(node + tag, potential(load_doubles(node + tag)));
    return fine;
}

INLINE double sum_of(dvec x) {
    double parts[DOUBLES], sum = 0.0;
    store_doubles(parts, x);
    for (int i = 0; i < DOUBLES; i++) sum += parts[i];
    return sum;
}

/* to = (from M) * by, divided by its sum, which is returned; `by` may be NULL. */
INLINE double advance_sums(const struct sums *sums, const double *from, const double *moves,
                           const double *by, double *to) {
    const int64_t tags = sums->chain->tags, row = sums->row;
    dvec whole = {0};
    for (int64_t j = 0; j < row; j += DOUBLES) {
        const double *column = moves + j;
        dvec even = from[0] * load_doubles(column), odd = {0};
        int64_t i = 1;
        for (; i + 1 < tags; i += 2) { /* two sums, since one would wait for itself */
            odd += from[i] * load_doubles(column + i * row);
            even += from[i + 1] * load_doubles(column + (i + 1) * row);
        }
        if (i < tags) odd += from[i] * load_doubles(column + i * row);
        const dvec reached = by ? (even + odd) * load_doubles(by + j) : even + odd;
        store_doubles(to + j, reached);
        whole += reached;
    }
    const double sum = sum_of(whole), scale = 1.0 / sum;
    for (int64_t j = 0; j < row; j += DOUBLES) store_doubles(to + j, load_doubles(to + j) * scale);
    return sum;
}

/* to = edge * by, divided by its sum, which is returned. */
static double begin_sums(const struct sums *sums, const double *edge, const double *by, double *to) {
    double sum = 0.0;
    for (int64_t tag = 0; tag < sums->row; tag++) {
        to[tag] = tag < sums->chain->tags ? edge[tag] * (by ? by[tag] : 1.0) : 0.0;
        sum += to[tag];
    }
    for (int64_t tag = 0; tag < sums->row; tag++) to[tag] /= sum;
    return sum;
}

/* Sum over the paths of a sentence; 0 where numpy must decide. */
static int sum_paths(struct sums *sums, const float *emissions, int64_t length) {
    const struct chain *chain = sums->chain;
    const int64_t row = sums->row, last = (length - 1) * row;
    double *nodes = sums->nodes, *alpha = sums->alpha, *beta = sums->beta, *after = sums->after;
    sums->length = length;
    for (int64_t t = 0; t < length; t++)
        if (!node(sums, emissions + t * chain->tags, nodes + t * row)) return 0;
    sums->forth[0] = begin_sums(sums, chain->start, nodes, alpha);
    for (int64_t t = 1; t < length; t++)
        sums->forth[t] = advance_sums(sums, alpha + (t - 1) * row, sums->moves, nodes + t * row,
                                      alpha + t * row);
    sums->back[length - 1] = begin_sums(sums, chain->end, NULL, beta + last);
    int fine = 1;
    for (int64_t t = length - 1; t >= 0; t--) {
        dvec total = {0};
        for (int64_t j = t * row; j < (t + 1) * row; j += DOUBLES) {
            const dvec behind = load_doubles(beta + j);
            store_doubles(after + j, load_doubles(nodes + j) * behind);
            total += load_doubles(alpha + j) * behind;
        }
        sums->total[t] = sum_of(total);
        fine &= sums->total[t] >= LEAST; /* false for NaN */
        if (t)
            sums->back[t - 1] = advance_sums(sums, after + t * row, sums->turned, NULL,
                                             beta + (t - 1) * row);
    }
    return fine;
}

/* The share of all paths in which a span ends with its last tag at `token`, of which `share`, as
 * alpha is scaled, come to this tag by way of the span. */
static double ending(const struct sums *sums, double share, int64_t token, int64_t tag, int64_t no) {
    const int64_t row = sums->row, at = token * row;
    double behind = sums->beta[at + tag];
    if (no >= 0 && token + 1 < sums->length) { /* all next tags but the one that prolongs it */
        const double *moves = sums->moves + tag * row, *next = sums->after + at + row;
        behind = 0.0;
        for (int64_t to = 0; to < sums->chain->tags; to++)
            if (to != no) behind += moves[to] * next[to];
        behind /= sums->back[token];
    }
    const double probability = share * behind / sums->total[token];
    return probability < 1.0 ? probability : 1.0;
}

/* What comes of a share of paths at the token before, by way of a move from tag to tag. */
INLINE double moved(const struct sums *sums, double share, int64_t token, int64_t from, int64_t to) {
    const double factor = sums->moves[from * sums->row + to] * sums->nodes[token * sums->row + to];
    return share * (factor / sums->forth[token]);
}

static double span_probability(const struct sums *sums, const struct labels *labels, int64_t start,
                               int64_t end, int64_t label) {
    int64_t tag = end == start + 1 ? labels->single[label] : labels->first[label];
    double share = sums->alpha[start * sums->row + tag];
    for (int64_t token = start + 1; token < end; token++) {
        const int64_t next = token == end - 1 ? labels->last[label] : labels->inside[label];
        share = moved(sums, share, token, tag, next);
        tag = next;
    }
    return ending(sums, share, end - 1, tag, labels->prolonging[label]);
}

/* Make the padded copies of the moves, and cut the rest of the room into arrays. */
static struct sums sums_of(const struct chain *chain) {
    const int64_t tags = chain->tags, row = padded(tags, DOUBLES), size = chain->length * row;
    double *next = chain->room;
    struct sums sums = {chain, row, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    double **arrays[] = {&sums.moves, &sums.turned, &sums.nodes, &sums.alpha, &sums.beta,
                         &sums.after, &sums.forth, &sums.back, &sums.total};
    for (int i = 0; i < 9; i++) {
        *arrays[i] = next;
        next += i < 2 ? tags * row : i < 6 ? size : chain->length;
    }
    for (int64_t i = 0; i < tags; i++)
        for (int64_t j = 0; j < tags; j++) {
            sums.moves[i * row + j] = chain->moves[i * tags + j];
            sums.turned[j * row + i] = chain->moves[i * tags + j];
        }
    return sums;
}

/* The probabilities of spans, which come sentence by sentence; 0 where numpy must decide. */
static int span_probabilities(const struct chain *chain, const struct labels *labels,
                              const struct spans *spans, double *probabilities) {
    struct sums sums = sums_of(chain);
    int64_t sentence = -1;
    for (int64_t i = 0; i < spans->count; i++) {
        if (spans->rows[i] != sentence) {
            sentence = spans->rows[i];
            const float *emissions = chain->emissions + sentence * chain->length * chain->tags;
            if (!sum_paths(&sums, emissions, chain->lengths[sentence])) return 0;
        }
        probabilities[i] = span_probability(&sums, labels, spans->starts[i], spans->ends[i],
                                            spans->labels[i]);
    }
    return 1;
}

/* Take the spans of one label that begin at a token. Each of a span's tags is at least as probable
 * as the span: it ends where none is that probable. -1 where there is no memory. */
static int spans_from(const struct sums *sums, const struct labels *labels, struct found *found,
                      struct probable span, double least) {
    const int64_t row = sums->row, label = span.label, no = labels->prolonging[label];
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

/* All spans of at least a probability; 0 where numpy must decide, -1 where there is no memory. */
static int probable_spans(const struct chain *chain, const struct labels *labels, double least,
                          struct found *found) {
    struct sums sums = sums_of(chain);
    for (int64_t sentence = 0; sentence < chain->batch; sentence++) {
        const int64_t length = chain->lengths[sentence];
        const float *emissions = chain->emissions + sentence * chain->length * chain->tags;
        if (!length) continue;
        if (!sum_paths(&sums, emissions, length)) return 0;
        for (int64_t token = 0; token < length; token++)
            for (int64_t label = 0; label < labels->count; label++) {
                const struct probable span = {sentence, token, 0, label, 0.0};
                if (spans_from(&sums, labels, found, span, least) < 0) return -1;
            }
    }
    return 1;
}
