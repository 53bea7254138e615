/* The maxima of a convolution over the characters of each word, by a table of products.
 *
 * A filter is linear in the vectors of the characters that it sees, so that what each character
 * gives at each place of the window is computed once for all words. */

/* maxima[k] = max over t of the sum over p of products[p][characters[t + p - side]][k]. */
static void character_maxima(const struct convolution *job, float *maxima, int32_t *places,
                             float *sum) {
    const int64_t width = job->width, side = job->window / 2;
    for (int64_t word = 0; word < job->words; word++, maxima += width, places += width) {
        const int64_t *characters = job->characters + word * job->length;
        const int64_t length = word_length(job, characters);
        for (int64_t k = 0; k < width; k++) maxima[k] = EMPTY_WORD, places[k] = -1;
        for (int64_t t = 0; t < length; t++) {
            memset(sum, 0, (size_t)width * sizeof *sum);
            for (int64_t p = 0; p < job->window; p++) {
                const int64_t at = t + p - side;
                if (at < 0 || at >= length) continue;
                const float *row = job->products + (p * job->known + characters[at]) * width;
                for (int64_t k = 0; k < width; k++) sum[k] += row[k];
            }
            for (int64_t k = 0; k < width; k++) { /* a NaN is greater than all and stays */
                const int greater = (sum[k] > maxima[k]) | (sum[k] != sum[k]);
                maxima[k] = greater ? sum[k] : maxima[k];
                places[k] = greater ? (int32_t)t : places[k];
            }
        }
    }
}

/* Add the gradient of each maximum to that of the products it is the sum of. */
static void character_gradients(const struct convolution *job, const float *gradients,
                                const int32_t *places, float *products) {
    const int64_t width = job->width, side = job->window / 2;
    for (int64_t word = 0; word < job->words; word++, gradients += width, places += width) {
        const int64_t *characters = job->characters + word * job->length;
        const int64_t length = word_length(job, characters);
        for (int64_t k = 0; k < width; k++)
            for (int64_t p = 0; places[k] >= 0 && p < job->window; p++) {
                const int64_t at = places[k] + p - side;
                if (at >= 0 && at < length)
                    products[(p * job->known + characters[at]) * width + k] += gradients[k];
            }
    }
}
