/* ner._native: the module that Python sees. It checks sizes, makes room and chooses the kernels.
 *
 * Arrays come by the buffer protocol and must be contiguous; their types are the caller's affair
 * (ner/native/__init__.py). No kernel holds the lock of the interpreter while it computes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "kernels.h"

enum { LINE = 64, MOST_KINDS = 3 };  /* bytes of a line of the cache */
enum { INTERFACE = 3 };              /* as in ner/loading.py; changed with any signature */

static const struct kernels *known[MOST_KINDS];  /* what this processor can run, widest last */
static int kinds;
static const struct kernels *current;

static void look_at_processor(void) {
    kinds = 0;
    known[kinds++] = &ner_baseline;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        known[kinds++] = &ner_avx2;
        if (__builtin_cpu_supports("avx512f")) known[kinds++] = &ner_avx512;
    }
#endif
    current = known[kinds - 1];
}

static PyObject *instruction_sets(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    PyObject *names = PyTuple_New(kinds);
    for (int i = 0; names && i < kinds; i++) {
        PyObject *name = PyUnicode_FromString(known[i]->name);
        if (!name || PyTuple_SetItem(names, i, name) < 0) Py_CLEAR(names);
    }
    return names;
}

static PyObject *in_use(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    return PyUnicode_FromString(current->name);
}

static PyObject *use(PyObject *self, PyObject *arguments) {
    (void)self;
    const char *name;
    if (!PyArg_ParseTuple(arguments, "s", &name)) return NULL;
    for (int i = 0; i < kinds; i++)
        if (!strcmp(name, known[i]->name)) {
            current = known[i];
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "this processor does not have %s", name);
}

/* Zeroed room at the beginning of a line; free what `*whole` points to. */
static float *room_of(int64_t floats, void **whole) {
    const size_t bytes = (size_t)floats * sizeof(float) + LINE;
    *whole = floats < 0 ? NULL : calloc(bytes, 1);
    if (!*whole) {
        PyErr_NoMemory();
        return NULL;
    }
    return (float *)(((uintptr_t)*whole + LINE - 1) / LINE * LINE);
}

/* Whether a buffer holds a * b * c items of `size` bytes; it raises ValueError where not. */
static int holds(const char *name, const Py_buffer *buffer, int64_t size, int64_t a, int64_t b,
                 int64_t c) {
    int64_t bytes = size;
    const int bad = a < 0 || b < 0 || c < 0 || __builtin_mul_overflow(bytes, a, &bytes) ||
                    __builtin_mul_overflow(bytes, b, &bytes) ||
                    __builtin_mul_overflow(bytes, c, &bytes) || bytes != buffer->len;
    if (bad)
        PyErr_Format(PyExc_ValueError, "%s: %zd bytes do not hold %lld x %lld x %lld items", name,
                     buffer->len, (long long)a, (long long)b, (long long)c);
    return !bad;
}

static int refuse(const char *what) {
    PyErr_SetString(PyExc_ValueError, what);
    return 0;
}

/* Recurrent weights, arranged for one instruction set. */
struct packed {
    const struct kernels *kernels;
    int64_t width, directions, size;  /* floats of a direction */
    float *weights;
    void *whole;
};

static const char PACKED[] = "ner._native.packed";

static void forget(PyObject *capsule) {
    struct packed *packed = PyCapsule_GetPointer(capsule, PACKED);
    free(packed->whole);
    free(packed);
}

static PyObject *pack(PyObject *self, PyObject *arguments) {
    (void)self;
    long long width, directions;
    Py_buffer recurrent;
    if (!PyArg_ParseTuple(arguments, "LLy*", &width, &directions, &recurrent)) return NULL;
    PyObject *capsule = NULL;
    struct packed *packed = calloc(1, sizeof *packed);
    if (!packed) PyErr_NoMemory();
    if (packed && holds("recurrent", &recurrent, sizeof(float), directions, width, 4 * width)) {
        packed->kernels = current;
        packed->width = width, packed->directions = directions;
        packed->size = padded(width, current->lanes) * 4 * width;
        packed->weights = room_of(packed->size * directions, &packed->whole);
        if (packed->weights) {
            const float *from = recurrent.buf;
            for (int64_t d = 0; d < directions; d++)
                current->pack(width, from + d * 4 * width * width,
                              packed->weights + d * packed->size);
            capsule = PyCapsule_New(packed, PACKED, forget);
        }
    }
    if (!capsule && packed) free(packed->whole), free(packed);
    PyBuffer_Release(&recurrent);
    return capsule;
}

/* Whether the counts fall from step to step and sum to `tokens`. */
static int counts_fit(const int64_t *counts, int64_t steps, int64_t tokens) {
    int64_t sum = 0;
    for (int64_t t = 0; t < steps; t++) {
        if (counts[t] < 1 || (t && counts[t] > counts[t - 1])) return refuse("counts must fall");
        sum += counts[t];
    }
    return sum == tokens || refuse("counts do not sum to the tokens");
}

static int all_below(const int64_t *numbers, int64_t n, int64_t limit, const char *what) {
    for (int64_t i = 0; i < n; i++)
        if (numbers[i] < 0 || numbers[i] >= limit) return refuse(what);
    return 1;
}

/* The arguments of `lstm`. */
struct lstm_call {
    const struct packed *packed;
    Py_buffer gates, index, places, counts, outputs;
    long long direction_stride, row_stride;
};

static int lstm_fits(const struct lstm_call *call) {
    const struct packed *packed = call->packed;
    const int64_t tokens = call->places.len / (int64_t)sizeof(int64_t) / packed->directions;
    const int64_t floats = call->gates.len / (int64_t)sizeof(float);
    const int64_t spare = floats - (packed->directions - 1) * call->direction_stride;
    const int64_t stride = call->row_stride, gates = 4 * packed->width;
    if (stride < gates || call->direction_stride < 0) return refuse("strides are too short");
    const int64_t rows = spare < gates ? 0 : (spare - gates) / stride + 1;
    return holds("places", &call->places, sizeof(int64_t), packed->directions, tokens, 1) &&
           holds("index", &call->index, sizeof(int64_t), packed->directions, tokens, 1) &&
           holds("outputs", &call->outputs, sizeof(float), tokens, packed->directions,
                 packed->width) &&
           counts_fit(call->counts.buf, call->counts.len / (int64_t)sizeof(int64_t), tokens) &&
           all_below(call->index.buf, packed->directions * tokens, rows, "no such row of gates") &&
           all_below(call->places.buf, packed->directions * tokens, tokens, "no such place");
}

static int run_lstm(const struct lstm_call *call) {
    const struct packed *packed = call->packed;
    const int64_t tokens = call->places.len / (int64_t)sizeof(int64_t) / packed->directions;
    const int64_t *counts = call->counts.buf, *index = call->index.buf, *places = call->places.buf;
    const int64_t steps = call->counts.len / (int64_t)sizeof(int64_t);
    const int64_t state = padded(packed->width, packed->kernels->lanes);
    const int64_t floats = steps ? 3 * counts[0] * state : 0;
    void *whole;
    float *room = room_of(floats, &whole), *outputs = call->outputs.buf;
    if (!room) return 0;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t d = 0; d < packed->directions; d++) {
        const float *gates = (const float *)call->gates.buf + d * call->direction_stride;
        struct recurrence job = {
            packed->width, steps, counts, gates, call->row_stride, index + d * tokens,
            places + d * tokens, packed->weights + d * packed->size, outputs + d * packed->width,
            packed->directions * packed->width, room,
        };
        if (d) memset(room, 0, (size_t)floats * sizeof(float));
        packed->kernels->lstm(&job);
    }
    Py_END_ALLOW_THREADS
    free(whole);
    return 1;
}

static PyObject *lstm(PyObject *self, PyObject *arguments) {
    (void)self;
    struct lstm_call call;
    PyObject *capsule;
    if (!PyArg_ParseTuple(arguments, "OLLy*y*y*y*w*", &capsule, &call.direction_stride,
                          &call.row_stride, &call.gates, &call.index, &call.places, &call.counts,
                          &call.outputs))
        return NULL;
    call.packed = PyCapsule_GetPointer(capsule, PACKED);
    const int done = call.packed && lstm_fits(&call) && run_lstm(&call);
    PyBuffer_Release(&call.gates);
    PyBuffer_Release(&call.index);
    PyBuffer_Release(&call.places);
    PyBuffer_Release(&call.counts);
    PyBuffer_Release(&call.outputs);
    if (!done) return NULL;
    Py_RETURN_NONE;
}

/* The arguments of `viterbi`. */
struct search_call {
    long long batch, length, tags;
    Py_buffer emissions, lengths, moves, start, end, paths;
};

static int search_fits(const struct search_call *call) {
    const int64_t batch = call->batch, length = call->length, tags = call->tags;
    const int sizes =
        holds("emissions", &call->emissions, sizeof(float), batch, length, tags) &&
        holds("lengths", &call->lengths, sizeof(int64_t), batch, 1, 1) &&
        holds("transitions", &call->moves, sizeof(float), tags, tags, 1) &&
        holds("start", &call->start, sizeof(float), tags, 1, 1) &&
        holds("end", &call->end, sizeof(float), tags, 1, 1) &&
        holds("paths", &call->paths, sizeof(int64_t), batch, length, 1);
    return sizes && (tags > 0 || refuse("there must be a tag")) &&
           all_below(call->lengths.buf, batch, length + 1, "no such length");
}

/* Return 0 where numpy must decide, 1 where the paths are found. */
static int run_search(const struct search_call *call) {
    struct search job = {
        call->batch, call->length, call->tags, call->emissions.buf, call->lengths.buf,
        call->moves.buf, call->start.buf, call->end.buf, call->paths.buf,
    };
    int found;
    Py_BEGIN_ALLOW_THREADS
    found = current->viterbi(&job);
    Py_END_ALLOW_THREADS
    return found;
}

static PyObject *viterbi(PyObject *self, PyObject *arguments) {
    (void)self;
    struct search_call call;
    if (!PyArg_ParseTuple(arguments, "LLLy*y*y*y*y*w*", &call.batch, &call.length, &call.tags,
                          &call.emissions, &call.lengths, &call.moves, &call.start, &call.end,
                          &call.paths))
        return NULL;
    const int found = search_fits(&call) ? run_search(&call) : -1;
    PyBuffer_Release(&call.emissions);
    PyBuffer_Release(&call.lengths);
    PyBuffer_Release(&call.moves);
    PyBuffer_Release(&call.start);
    PyBuffer_Release(&call.end);
    PyBuffer_Release(&call.paths);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

/* The arguments that describe sentences, a CRF and labels. */
struct sums_call {
    struct chain chain;
    struct labels labels;
    long long batch, length, tags;
    Py_buffer emissions, lengths, moves, start, end, table;
};

static int read_chain(PyObject *arguments, struct sums_call *call) {
    memset(call, 0, sizeof *call);
    return PyArg_ParseTuple(arguments, "LLLy*y*y*y*y*ddy*", &call->batch, &call->length,
                            &call->tags, &call->emissions, &call->lengths, &call->moves,
                            &call->start, &call->end, &call->chain.fall, &call->chain.temperature,
                            &call->table);
}

static void release_chain(struct sums_call *call) {
    PyBuffer_Release(&call->emissions);
    PyBuffer_Release(&call->lengths);
    PyBuffer_Release(&call->moves);
    PyBuffer_Release(&call->start);
    PyBuffer_Release(&call->end);
    PyBuffer_Release(&call->table);
}

/* Whether all numbers are tags; of the tags that prolong a span, -1 is none. */
static int are_tags(const int64_t *table, int64_t labels, int64_t tags) {
    for (int64_t i = 0; i < 5 * labels; i++)
        if (table[i] < (i < 4 * labels ? 0 : -1) || table[i] >= tags) return refuse("no such tag");
    return 1;
}

/* Check sizes and numbers. */
static int prepare_chain(struct sums_call *call) {
    const int64_t batch = call->batch, length = call->length, tags = call->tags;
    const int64_t labels = call->table.len / (int64_t)sizeof(int64_t) / 5;
    const int64_t *table = call->table.buf;
    const int sizes =
        holds("emissions", &call->emissions, sizeof(float), batch, length, tags) &&
        holds("lengths", &call->lengths, sizeof(int64_t), batch, 1, 1) &&
        holds("transitions", &call->moves, sizeof(double), tags, tags, 1) &&
        holds("start", &call->start, sizeof(double), tags, 1, 1) &&
        holds("end", &call->end, sizeof(double), tags, 1, 1) &&
        holds("table", &call->table, sizeof(int64_t), 5, labels, 1);
    if (!sizes || !(tags > 0 || refuse("there must be a tag")) ||
        !all_below(call->lengths.buf, batch, length + 1, "no such length") ||
        !are_tags(table, labels, tags))
        return 0;
    struct chain chain = {
        batch, length, tags, call->emissions.buf, call->lengths.buf, call->moves.buf,
        call->start.buf, call->end.buf, call->chain.fall, call->chain.temperature,
    };
    struct labels known = {
        labels, table, table + labels, table + 2 * labels, table + 3 * labels, table + 4 * labels,
    };
    call->chain = chain;
    call->labels = known;
    return 1;
}

/* Whether all spans lie in their sentences. */
static int spans_fit(const struct sums_call *call, const struct spans *spans) {
    for (int64_t i = 0; i < spans->count; i++) {
        const int64_t row = spans->rows[i];
        if (row < 0 || row >= call->batch || spans->starts[i] < 0 ||
            spans->starts[i] >= spans->ends[i] || spans->ends[i] > call->chain.lengths[row])
            return refuse("no such span");
    }
    return all_below(spans->labels, spans->count, call->labels.count, "no such label");
}

static PyObject *span_probabilities(PyObject *self, PyObject *arguments) {
    (void)self;
    struct sums_call call;
    PyObject *described;
    Py_buffer spans, probabilities;
    if (!PyArg_ParseTuple(arguments, "Oy*w*", &described, &spans, &probabilities)) return NULL;
    int found = -1;
    if (read_chain(described, &call)) {
        const int64_t count = probabilities.len / (int64_t)sizeof(double), *from = spans.buf;
        const struct spans some = {count, from, from + count, from + 2 * count, from + 3 * count};
        if (holds("spans", &spans, sizeof(int64_t), 4, count, 1) && prepare_chain(&call) &&
            spans_fit(&call, &some)) {
            Py_BEGIN_ALLOW_THREADS
            found = current->span_probabilities(&call.chain, &call.labels, &some,
                                                probabilities.buf);
            Py_END_ALLOW_THREADS
        }
        release_chain(&call);
    }
    PyBuffer_Release(&spans);
    PyBuffer_Release(&probabilities);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyObject *probable_spans(PyObject *self, PyObject *arguments) {
    (void)self;
    struct sums_call call;
    PyObject *described, *result = NULL;
    double least;
    if (!PyArg_ParseTuple(arguments, "Od", &described, &least) || !read_chain(described, &call))
        return NULL;
    struct found found = {0, 0, NULL};
    if (prepare_chain(&call)) {
        int done;
        Py_BEGIN_ALLOW_THREADS
        done = current->probable_spans(&call.chain, &call.labels, least, &found);
        Py_END_ALLOW_THREADS
        if (done < 0) PyErr_NoMemory();
        if (done > 0)
            result = PyBytes_FromStringAndSize((const char *)found.spans,
                                               found.count * (Py_ssize_t)sizeof *found.spans);
        if (!done) result = Py_NewRef(Py_None);
    }
    free(found.spans);
    release_chain(&call);
    return result;
}

/* The arguments of `character_maxima` and `character_gradients`. */
struct convolution_call {
    struct convolution job;
    Py_buffer characters, products, values, places; /* (words, width) the last two */
};

static int read_convolution(PyObject *arguments, const char *format, struct convolution_call *call) {
    long long words, length, known, width, window;
    if (!PyArg_ParseTuple(arguments, format, &words, &length, &known, &width, &window,
                          &call->characters, &call->products, &call->values, &call->places))
        return 0;
    struct convolution job = {
        words, length, known, width, window, call->characters.buf, call->products.buf,
    };
    call->job = job;
    return 1;
}

static int convolution_fits(const struct convolution_call *call) {
    const struct convolution *job = &call->job;
    const int64_t words = job->words, length = job->length, width = job->width;
    return holds("characters", &call->characters, sizeof(int64_t), words, length, 1) &&
           holds("products", &call->products, sizeof(float), job->window, job->known, width) &&
           holds("values", &call->values, sizeof(float), words, width, 1) &&
           holds("places", &call->places, sizeof(int32_t), words, width, 1) &&
           (length < INT32_MAX || refuse("words are too long")) &&
           all_below(job->characters, words * length, job->known, "no such character");
}

static PyObject *end_convolution(struct convolution_call *call, int done) {
    PyBuffer_Release(&call->characters);
    PyBuffer_Release(&call->products);
    PyBuffer_Release(&call->values);
    PyBuffer_Release(&call->places);
    if (!done) return NULL;
    Py_RETURN_NONE;
}

static PyObject *character_maxima(PyObject *self, PyObject *arguments) {
    (void)self;
    struct convolution_call call;
    if (!read_convolution(arguments, "LLLLLy*y*w*w*", &call)) return NULL;
    void *whole = NULL;
    float *sum = convolution_fits(&call) ? room_of(call.job.width, &whole) : NULL;
    if (sum) {
        Py_BEGIN_ALLOW_THREADS
        current->character_maxima(&call.job, call.values.buf, call.places.buf, sum);
        Py_END_ALLOW_THREADS
    }
    free(whole);
    return end_convolution(&call, sum != NULL);
}

static PyObject *character_gradients(PyObject *self, PyObject *arguments) {
    (void)self;
    struct convolution_call call;
    if (!read_convolution(arguments, "LLLLLy*w*y*y*", &call)) return NULL;
    const int done = convolution_fits(&call);
    if (done) {
        Py_BEGIN_ALLOW_THREADS
        current->character_gradients(&call.job, call.values.buf, call.places.buf,
                                     call.products.buf);
        Py_END_ALLOW_THREADS
    }
    return end_convolution(&call, done);
}

static PyMethodDef methods[] = {
    {"instruction_sets", instruction_sets, METH_NOARGS, "What this processor can run."},
    {"in_use", in_use, METH_NOARGS, "The instruction set in use."},
    {"use", use, METH_VARARGS, "Use an instruction set by its name."},
    {"pack", pack, METH_VARARGS, "Arrange recurrent weights."},
    {"lstm", lstm, METH_VARARGS, "Run an LSTM over packed sentences."},
    {"viterbi", viterbi, METH_VARARGS, "Find best paths."},
    {"span_probabilities", span_probabilities, METH_VARARGS, "The probability of each span."},
    {"probable_spans", probable_spans, METH_VARARGS, "All spans of at least a probability."},
    {"character_maxima", character_maxima, METH_VARARGS, "The maxima of filters over words."},
    {"character_gradients", character_gradients, METH_VARARGS, "Gradients of their products."},
    {"new_fields", new_fields, METH_NOARGS, "Remembers the fields of lines."},
    {"cut_lines", cut_lines, METH_VARARGS, "The tokens and tags of lines of columns."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Kernels of ner in C; see ner.native.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) {
    look_at_processor();
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "interface", INTERFACE)) Py_CLEAR(module);
    return module;
}
