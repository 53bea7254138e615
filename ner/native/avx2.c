/* AVX2 with fused multiplication and addition. */
#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#define NAME ner_avx2
#define CALLED "AVX2"
#include "table.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
