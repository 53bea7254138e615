/* Lines of columns as tuples of Python strings, of which equal ones are one string. The bytes of a
 * field are looked up before a string is made of them: a corpus repeats its words. */

enum {
    SLOTS = 1 << 18,
    REMEMBERED = 100000, /* fields; when they are so many, all are forgotten */
    PROBES = 16,         /* slots that are tried, so that no text can make it slow */
    SHORT = 128,         /* bytes of a field worth remembering */
};

struct fields {
    PyObject **slots;
    int64_t count, used[REMEMBERED]; /* the slots that are not empty */
};

static const char FIELDS[] = "ner._native.fields";

static void forget_fields(struct fields *fields) {
    while (fields->count) {
        PyObject **slot = fields->slots + fields->used[--fields->count];
        Py_CLEAR(*slot); /* a macro that reads its argument more than once */
    }
}

static void free_fields(PyObject *capsule) {
    struct fields *fields = PyCapsule_GetPointer(capsule, FIELDS);
    forget_fields(fields);
    free(fields->slots);
    free(fields);
}

static PyObject *new_fields(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    struct fields *fields = calloc(1, sizeof *fields);
    PyObject **slots = calloc(SLOTS, sizeof *slots);
    PyObject *capsule = NULL;
    if (fields && slots) {
        fields->slots = slots;
        capsule = PyCapsule_New(fields, FIELDS, free_fields);
    } else {
        PyErr_NoMemory();
    }
    if (!capsule) free(fields), free(slots);
    return capsule;
}

/* Where a field is looked for first: a product of its bytes, eight at a time. */
static uint64_t place_of(const char *text, size_t bytes) {
    uint64_t hash = bytes;
    for (uint64_t word = 0; bytes; word = 0) {
        const size_t some = bytes < sizeof word ? bytes : sizeof word;
        memcpy(&word, text, some);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
        text += some, bytes -= some;
    }
    return hash;
}

/* The string of some bytes, the same object as before where it is remembered. */
static PyObject *field_of(struct fields *fields, const char *text, size_t bytes) {
    uint64_t place = place_of(text, bytes);
    for (int probe = 0; bytes <= SHORT && probe < PROBES; probe++, place++) {
        PyObject **slot = fields->slots + place % SLOTS;
        if (!*slot) {
            if (fields->count == REMEMBERED) break;
            *slot = PyUnicode_FromStringAndSize(text, (Py_ssize_t)bytes);
            if (*slot) fields->used[fields->count++] = (int64_t)(place % SLOTS);
            return Py_XNewRef(*slot);
        }
        Py_ssize_t size;
        const char *known = PyUnicode_AsUTF8AndSize(*slot, &size);
        if (!known) return NULL;
        if ((size_t)size == bytes && !memcmp(known, text, bytes)) return Py_NewRef(*slot);
    }
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)bytes);
}

/* Which fields of a line are wanted: the token and the tag, -1 for none. */
struct columns {
    char separator;
    long width, wanted[2];
};

static const char *const FILLERS[2] = {"", "O"}; /* what an empty line holds */

/* The wanted fields of a line that is not empty, and where it ends; NULL where it does not have that
 * many fields, or one is empty. */
static const char *read_line(const char *at, const char *end, const struct columns *columns,
                             const char *starts[2], size_t sizes[2]) {
    for (long column = 0; column < columns->width; column++) {
        const char *start = at;
        while (at < end && *at != columns->separator && *at != '\n') at++;
        const int last = at == end || *at == '\n';
        if (at == start || last != (column == columns->width - 1)) return NULL;
        for (int one = 0; one < 2; one++)
            if (column == columns->wanted[one]) starts[one] = start, sizes[one] = (size_t)(at - start);
        at += !last;
    }
    return at;
}

/* Fill tuples with the fields of all lines: 1, 0 where the text is not plain, -1 with an error. */
static int read_lines(struct fields *fields, const char *at, const char *end,
                      const struct columns *columns, PyObject *const tuples[2]) {
    for (int64_t line = 0;; line++, at++) {
        const char *starts[2] = {FILLERS[0], FILLERS[1]};
        size_t sizes[2] = {strlen(FILLERS[0]), strlen(FILLERS[1])};
        const int between = line && at < end && *at == '\n' && at[-2] != '\n' && at + 1 < end &&
                            at[1] != '\n';
        if (!between) at = read_line(at, end, columns, starts, sizes);
        if (!at) return 0;
        for (int one = 0; one < 2; one++) {
            if (columns->wanted[one] < 0) continue;
            PyObject *field = field_of(fields, starts[one], sizes[one]);
            if (!field || PyTuple_SetItem(tuples[one], line, field) < 0) return -1;
        }
        if (at == end) return 1;
    }
}

/* fields, text, width, token, tag: the wanted fields of all lines as two tuples, an empty token with
 * the tag O for an empty line; None unless all lines have that width, and empty ones stand alone. */
static PyObject *cut_lines(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *capsule, *text;
    struct columns columns;
    long *wanted = columns.wanted;
    if (!PyArg_ParseTuple(arguments, "OUlll", &capsule, &text, &columns.width, wanted, wanted + 1))
        return NULL;
    struct fields *fields = PyCapsule_GetPointer(capsule, FIELDS);
    if (!fields) return NULL;
    Py_ssize_t bytes;
    const char *start = PyUnicode_AsUTF8AndSize(text, &bytes);
    if (!start) { /* it holds a byte that could not be decoded */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    const char *end = start + bytes;
    const int tabs = memchr(start, '\t', (size_t)bytes) != NULL;
    columns.separator = tabs ? '\t' : ' ';
    if (tabs && memchr(start, ' ', (size_t)bytes)) Py_RETURN_NONE;
    int64_t lines = 1;
    for (const char *at = start; (at = memchr(at, '\n', (size_t)(end - at))); at++) lines++;
    if (fields->count == REMEMBERED) forget_fields(fields);
    PyObject *tuples[2] = {PyTuple_New(wanted[0] < 0 ? 0 : lines),
                           PyTuple_New(wanted[1] < 0 ? 0 : lines)};
    int read = -1;
    if (tuples[0] && tuples[1]) read = read_lines(fields, start, end, &columns, tuples);
    PyObject *found = NULL;
    if (read >= 0) found = read ? PyTuple_Pack(2, tuples[0], tuples[1]) : Py_NewRef(Py_None);
    Py_XDECREF(tuples[0]);
    Py_XDECREF(tuples[1]);
    return found;
}
