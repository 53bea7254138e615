/* What every processor of its kind has: SSE2 on x86-64, NEON on ARM64. */
#define LANES 4
#define NAME ner_baseline
#define CALLED "baseline"
#include "table.h"
