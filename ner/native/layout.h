/* Which moves there are. In BIOES most of a large table is forbidden: within a label few moves are
 * left, and between labels one goes from tags that end a span to tags that begin one. So all moves
 * are a block of some rows and columns, and a few others. It holds for any table: rows of more than
 * MANY moves make the block, with every column that they reach. */

enum {
    TOGETHER = 4, /* sentences that are walked side by side, so that the moves are read once */
    SMALL = 32,   /* tags, up to which the block is the whole table */
    MANY = 8,
};

struct layout {
    int64_t tags, rows, columns, few;
    int64_t *row_tags, *column_tags;   /* the tags of the block's rows and columns */
    int64_t *row_of, *column_of;       /* the row and the column of each tag, or -1 */
    int64_t *few_from, *few_to;        /* moves outside the block */
    int whole;                         /* whether the block is the whole table */
    void *room;
};

/* Find the block of a table that says which moves are allowed; 0 where there is no memory. */
static int find_layout(struct layout *layout, const unsigned char *allowed, int64_t tags) {
    struct layout found = {tags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int64_t *room = found.room = malloc((size_t)(4 + 2 * MANY) * (size_t)tags * sizeof *room);
    if (!room) return 0;
    found.row_tags = room, found.column_tags = room + tags;
    found.row_of = room + 2 * tags, found.column_of = room + 3 * tags;
    found.few_from = room + 4 * tags, found.few_to = found.few_from + MANY * tags;
    for (int64_t tag = 0; tag < tags; tag++) found.column_of[tag] = tags <= SMALL ? 0 : -1;
    for (int64_t i = 0; i < tags; i++) {
        const unsigned char *row = allowed + i * tags;
        int64_t count = 0;
        for (int64_t j = 0; j < tags; j++) count += row[j];
        found.row_of[i] = count > MANY || tags <= SMALL ? found.rows : -1;
        if (found.row_of[i] < 0) continue;
        found.row_tags[found.rows++] = i;
        for (int64_t j = 0; j < tags; j++)
            if (row[j]) found.column_of[j] = 0;
    }
    for (int64_t j = 0; j < tags; j++)
        if (found.column_of[j] == 0) {
            found.column_of[j] = found.columns;
            found.column_tags[found.columns++] = j;
        }
    for (int64_t i = 0; i < tags; i++)
        for (int64_t j = 0; j < tags && found.row_of[i] < 0; j++)
            if (allowed[i * tags + j]) {
                found.few_from[found.few] = i;
                found.few_to[found.few++] = j;
            }
    found.whole = found.rows == tags && found.columns == tags;
    *layout = found;
    return 1;
}
