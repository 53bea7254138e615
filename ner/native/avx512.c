/* AVX-512, of which only the foundation is used. */
#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx2,fma")
#endif
#define LANES 16
#define NAME ner_avx512
#define CALLED "AVX-512"
#include "table.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
