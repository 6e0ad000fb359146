/* Multiply many activations at once by a processor's tiles (AMX), where it has them. */
#ifndef HALF_TILES_H
#define HALF_TILES_H

#include <stdint.h>

#define PANELS 8 /* that a thread takes at a time, by vectors or tiles: a core that is slower at the moment takes fewer */

static inline long least(long a, long b) { return a < b ? a : b; }

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAVE_TILES 1
#define TILES_FROM 33 /* rows of activations; fewer are faster by vectors: measured */

/* Whether the system lets this process use tiles. */
int tiles_allowed(void);

/* Bytes that `tiles_linear` needs. */
long tiles_room(long k, long m, int threads);

/* As `half_linear`; returns 0 and leaves y as it comes where a weight or an activation has no finite bfloat16. */
int tiles_linear(const uint16_t *w, const float *x, float *y, void *room, long n, long k, long m, int threads);
#else
#define HAVE_TILES 0
#endif

#endif
