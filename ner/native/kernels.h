/* What the kernels take. Each instruction set has its own table of them: see table.h. */
#ifndef NER_KERNELS_H
#define NER_KERNELS_H

#include <stdint.h>
#include <stdlib.h>

#if !defined(__GNUC__)
#error "the vectors of GCC and Clang are needed; without them ner uses numpy"
#endif

/* One direction of an LSTM over sentences laid out step by step; see lstm.h. */
struct recurrence {
    int64_t width;          /* of a state */
    int64_t steps;
    const int64_t *counts;  /* rows at each step, descending */
    const float *gates;     /* what the input gives: i, f, o and twice g, `width` each */
    int64_t gates_stride;   /* from one row of gates to the next */
    const int64_t *index;   /* the row of gates of each token */
    const int64_t *places;  /* the row of the output of each token */
    const float *weights;   /* as `pack` arranged them */
    float *outputs;         /* halved states */
    int64_t outputs_stride; /* from one row of outputs to the next */
    float *room;            /* 3 * counts[0] * padded(width), zero */
};

/* The best paths of sentences; see viterbi.h. */
struct search {
    int64_t batch, length, tags;
    const float *emissions;  /* (batch, length, tags) */
    const int64_t *lengths;  /* (batch,), from 0 to length */
    const float *moves;      /* (tags, tags), from the row's tag to the column's */
    const float *start, *end;
    int64_t *paths;          /* (batch, length), zero at padding */
};

/* The scores of a CRF as factors, and some sentences; see sums.h. */
struct chain {
    int64_t batch, length, tags;
    const float *emissions;           /* (batch, length, tags) */
    const int64_t *lengths;           /* (batch,), from 0 to length */
    const double *moves;              /* (tags, tags), from the row's tag to the column's */
    const double *start, *end;        /* (tags,) */
    double fall, temperature;         /* how far the factors fall, in logs; of the emissions */
};

/* The tags that spell the spans of each label: ner.crf.core.spans.SpanTable. */
struct labels {
    int64_t count;
    const int64_t *single, *first, *inside, *last, *prolonging;
};

struct spans {
    int64_t count;
    const int64_t *rows, *starts, *ends, *labels;
};

/* A span and its probability. */
struct probable {
    int64_t row, start, end, label;
    double probability;
};

/* A growing list of them. */
struct found {
    int64_t count, room;
    struct probable *spans;
};

/* A convolution over the characters of words; see characters.h. */
struct convolution {
    int64_t words, length, known, width, window;
    const int64_t *characters; /* (words, length), 0 behind the last */
    const float *products;     /* (window, known, width) */
};

struct kernels {
    const char *name;
    int64_t lanes;  /* of float32 */
    void (*pack)(int64_t width, const float *recurrent, float *packed);
    void (*lstm)(const struct recurrence *job);
    int (*viterbi)(const struct search *job);
    int (*span_probabilities)(const struct chain *chain, const struct labels *labels,
                              const struct spans *spans, double *probabilities);
    int (*probable_spans)(const struct chain *chain, const struct labels *labels, double least,
                          struct found *found);
    void (*character_maxima)(const struct convolution *job, float *maxima, int32_t *places,
                             float *sum);
    void (*character_gradients)(const struct convolution *job, const float *gradients,
                                const int32_t *places, float *products);
};

extern const struct kernels ner_baseline;
#if defined(__x86_64__)
extern const struct kernels ner_avx2, ner_avx512;
#endif

/* The least multiple of `lanes` that holds `n`. */
static inline int64_t padded(int64_t n, int64_t lanes) { return (n + lanes - 1) / lanes * lanes; }

#define EMPTY_WORD -1e4f /* the maximum over no characters, as in ner/embeddings/characters.py */

static inline int64_t word_length(const struct convolution *job, const int64_t *characters) {
    int64_t length = 0;
    while (length < job->length && characters[length]) length++;
    return length;
}

/* Keep a span; 0 where there is no memory. */
static inline int keep(struct found *found, const struct probable *span) {
    if (found->count == found->room) {
        const int64_t room = 2 * found->room + 64;
        struct probable *spans = realloc(found->spans, (size_t)room * sizeof *spans);
        if (!spans) return 0;
        found->spans = spans;
        found->room = room;
    }
    found->spans[found->count++] = *span;
    return 1;
}

#endif
