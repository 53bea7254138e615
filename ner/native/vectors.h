/* Vectors of LANES numbers of float32, in the terms of GCC and Clang. */
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
enum { DOUBLES = LANES / 2 };
typedef double dvec __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint64_t lvec __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec x) { *(vec *)to = x; }

#if LANES == 16
#define SPREAD(x) {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
#elif LANES == 8
#define SPREAD(x) {x, x, x, x, x, x, x, x}
#else
#define SPREAD(x) {x, x, x, x}
#endif
INLINE vec spread(float x) { return (vec)SPREAD(x); }

/* The lesser and the greater of two numbers; where one is NaN, the second. */
#if LANES == 16
INLINE vec least(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vec most(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
#elif LANES == 8
INLINE vec least(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vec most(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__x86_64__)
INLINE vec least(vec a, vec b) { return (vec)_mm_min_ps((__m128)a, (__m128)b); }
INLINE vec most(vec a, vec b) { return (vec)_mm_max_ps((__m128)a, (__m128)b); }
#else
INLINE vec chosen(ivec which, vec a, vec b) { return (vec)((which & (ivec)a) | (~which & (ivec)b)); }
INLINE vec least(vec a, vec b) { return chosen((ivec)(a < b), a, b); }
INLINE vec most(vec a, vec b) { return chosen((ivec)(a > b), a, b); }
#endif

/* The first `n` numbers, fewer than LANES, and zeros; nothing beyond them is read. */
#if LANES == 16
INLINE vec load_some(const float *from, int64_t n) {
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), from);
}
#elif LANES == 8
INLINE vec load_some(const float *from, int64_t n) {
    static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return (vec)_mm256_maskload_ps(from, _mm256_loadu_si256((const __m256i *)(masks + 8 - n)));
}
#else
INLINE vec load_some(const float *from, int64_t n) {
    float held[LANES] = {0};
    for (int64_t i = 0; i < n; i++) held[i] = from[i];
    return load(held);
}
#endif

/* The exponential of a number held within 29 of 0, to some units in the last place; NaN of NaN.
 * Within 29 no product of three of them leaves float32, and beyond it sigmoids are 0 or 1. */
INLINE vec exponential(vec x) {
    /* the number is second, so that a NaN stays one */
    x = most(spread(-29.0f), least(spread(29.0f), x));
    /* 2^x = 2^k 2^f: adding 1.5 * 2^23 rounds to k, which then stands in the lowest bits */
    const vec scaled = x * 1.44269504088896341f, magic = spread(12582912.0f);
    vec k = scaled + magic;
    const ivec bits = (ivec)k;
    k -= magic;
    const vec f = scaled - k;
    vec p = spread(1.55946778e-4f); /* of least greatest error where |f| <= 0.5 */
    p = p * f + 1.34066434e-3f;
    p = p * f + 9.61769279e-3f;
    p = p * f + 5.55031039e-2f;
    p = p * f + 2.40226522e-1f;
    p = p * f + 6.93147242e-1f;
    p = p * f + 1.0f;
    return p * (vec)((bits << 23) + (127u << 23));
}
