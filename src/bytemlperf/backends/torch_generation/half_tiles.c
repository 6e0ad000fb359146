/* Multiply float32 activations by float16 weights by tiles of bfloat16 (AMX), about as exactly as in float32.
 *
 * A float32 is the sum of three bfloat16 (8 bits each) and a float16 that of two, without a remainder. Of the six
 * products of such parts five are added up; the sixth, of the smallest parts, is below 2**-26 of the whole. A tile
 * product adds up 32 of them in float32, in two chains of 16. So 160 products of bfloat16 stand for 32 of float32, and
 * still take less time: tiles multiply 512 pairs a cycle (measured: 16 cycles an instruction), vectors 32.
 *
 * A panel of weights is split once and passes all activations, which were split before; both in the order in which
 * tiles are loaded. Columns are taken in parts, so that the activations' stay in the second-level cache.
 */
#include "half_tiles.h"

#if HAVE_TILES
#include <immintrin.h>
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIDE 16            /* rows of a tile, and 32-bit columns */
#define STEP 32            /* columns of bfloat16 */
#define TILE (SIDE * STEP) /* numbers of bfloat16 */
#define PANEL_ROWS 32      /* weight rows that are split at a time: two tiles */
#define X_PARTS 3
#define W_PARTS 2
#define LINE 64
#define PART_BYTES (1 << 20) /* of split activations that stay in a second-level cache of 2 MiB */
#define LEAST_DEPTH 4
#define PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA 18

typedef uint16_t bfloat16;

int tiles_allowed(void) {
    static int known = -1; /* a race only asks twice */
    if (known < 0) known = syscall(SYS_arch_prctl, PERMISSION, TILE_DATA) == 0;
    return known;
}

static void configure(void) {
    struct {
        uint8_t palette, first, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.bytes[i] = LINE;
        shapes.rows[i] = SIDE;
    }
    _tile_loadconfig(&shapes);
}

static inline long ceiling(long a, long b) { return (a + b - 1) / b; }

static inline __m512 widened(__m256i of) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(of), 16));
}

/* Take the nearest bfloat16 of 32 numbers away from them; note where one is not finite. */
static inline __m512i part_of(__m512 *low, __m512 *high, int *odd) {
    __m512i found = (__m512i)_mm512_cvtne2ps_pbh(*high, *low), infinite = _mm512_set1_epi16(0x7f80);
    *odd |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(found, infinite), infinite) != 0;
    *low = _mm512_sub_ps(*low, widened(_mm512_castsi512_si256(found)));
    *high = _mm512_sub_ps(*high, widened(_mm512_extracti64x4_epi64(found, 1)));
    return found;
}

/* The first `count` of 32 columns. */
static inline __mmask32 first_of(long count) { return count >= STEP ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1; }

/* What is multiplied, and how it is divided. */
typedef struct {
    const uint16_t *w;
    const float *x;
    float *y;
    bfloat16 *split;           /* activations: tiles [blocks][steps][X_PARTS] */
    long n, k, m;
    long blocks, steps, depth; /* tiles of activations, of columns, and of columns that are taken together */
} product;

/* Steps that are taken together, evenly. */
static long depth_of(long blocks, long steps) {
    long most = PART_BYTES / (blocks * X_PARTS * TILE * (long)sizeof(bfloat16));
    return ceiling(steps, ceiling(steps, most < LEAST_DEPTH ? LEAST_DEPTH : most));
}

/* Split 16 rows of activations; a tile has two columns of each row in one of its own: [16 pairs][16 rows][2]. */
static void split_rows(const product *a, long block, int *odd) {
    __m512i pairs = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(SIDE));
    for (long j = 0; j < SIDE; j++) {
        long row = block * SIDE + j;
        const float *from = a->x + least(row, a->m - 1) * a->k; /* rows beyond the last one are computed for nobody */
        bfloat16 *to = a->split + block * a->steps * X_PARTS * TILE + j * 2;
        for (long step = 0; step < a->steps; step++, from += STEP) {
            __mmask32 some = first_of(a->k - step * STEP);
            __m512 low = _mm512_maskz_loadu_ps((__mmask16)some, from);
            __m512 high = _mm512_maskz_loadu_ps((__mmask16)(some >> 16), from + 16);
            for (int part = 0; part < X_PARTS; part++, to += TILE)
                _mm512_i32scatter_epi32(to, pairs, part_of(&low, &high, odd), 4);
        }
    }
}

/* Split a panel's rows: tiles [2][steps][W_PARTS] of some steps from one on. */
static void split_panel(const product *a, long first, long from, long steps, bfloat16 *panel, int *odd) {
    for (long i = 0; i < PANEL_ROWS; i++) {
        const uint16_t *row = a->w + least(first + i, a->n - 1) * a->k + from * STEP;
        bfloat16 *to = panel + i / SIDE * steps * W_PARTS * TILE + i % SIDE * STEP;
        for (long step = 0; step < steps; step++, row += STEP) {
            __m512i halves = _mm512_maskz_loadu_epi16(first_of(a->k - (from + step) * STEP), row);
            __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
            __m512 high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
            for (int part = 0; part < W_PARTS; part++, to += TILE) _mm512_store_si512(to, part_of(&low, &high, odd));
        }
    }
}

/* Weights that are asked for before they are needed: a piece of each row, some lines with every step. */
typedef struct {
    const char *at, *piece_end, *end;
    long piece, stride; /* bytes of a row's piece, and from one row to the next */
    long lines;
} ahead;

static inline __attribute__((always_inline)) void ask(ahead *fetch) {
    for (long i = 0; i < fetch->lines && fetch->at < fetch->end; i++) {
        _mm_prefetch(fetch->at, _MM_HINT_T1);
        fetch->at += LINE;
        if (fetch->at >= fetch->piece_end) {
            fetch->at += fetch->stride - fetch->piece;
            fetch->piece_end += fetch->stride;
        }
    }
}

static ahead behind(const product *a, long first, long from, long steps) {
    long piece = (least((from + steps) * STEP, a->k) - from * STEP) * (long)sizeof(uint16_t), stride = a->k * 2;
    long rows = first < a->n ? least(PANEL_ROWS, a->n - first) : 0;
    const char *at = (const char *)(a->w + least(first, a->n - 1) * a->k + from * STEP);
    return (ahead){at, at + piece, at + rows * stride, piece, stride,
                   ceiling(ceiling(piece, LINE) * rows, ceiling(a->blocks, 2) * steps)};
}

/* Two tiles of weights, in 4 and 5, times one of activations, or two. */
#define MULTIPLY(two) \
    _tile_dpbf16ps(0, 4, 6); \
    _tile_dpbf16ps(1, 5, 6); \
    if (two) { \
        _tile_dpbf16ps(2, 4, 7); \
        _tile_dpbf16ps(3, 5, 7); \
    }
#define LOAD_W(part) \
    _tile_loadd(4, w0 + (part) * TILE, LINE); \
    _tile_loadd(5, w1 + (part) * TILE, LINE);
#define LOAD_X(part, two) \
    _tile_loadd(6, x0 + (part) * TILE, LINE); \
    if (two) _tile_loadd(7, x1 + (part) * TILE, LINE);

/* A panel's two tiles of rows times one tile of activation rows, or two: sums [2][2][16 weight rows][16 rows]. */
static inline __attribute__((always_inline)) void pass(const bfloat16 *w0, const bfloat16 *w1, const bfloat16 *x0,
                                                       const bfloat16 *x1, long steps, int two, float *sums,
                                                       ahead *fetch) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (long step = 0; step < steps; step++) {
        ask(fetch);
        LOAD_W(0) LOAD_X(2, two) MULTIPLY(two)
        LOAD_X(1, two) MULTIPLY(two)
        LOAD_W(1) MULTIPLY(two)
        LOAD_X(0, two) MULTIPLY(two)
        LOAD_W(0) MULTIPLY(two)
        w0 += W_PARTS * TILE, w1 += W_PARTS * TILE, x0 += X_PARTS * TILE, x1 += X_PARTS * TILE;
    }
    _tile_stored(0, sums, LINE);
    _tile_stored(1, sums + SIDE * SIDE, LINE);
    _tile_stored(2, sums + 2 * SIDE * SIDE, LINE);
    _tile_stored(3, sums + 3 * SIDE * SIDE, LINE);
}

/* Set answers of 16 rows from [16 weight rows][16 rows], or add to what earlier columns came to. */
static void hand_on(const product *a, const float *sums, long first, long top, int is_first) {
    __m512i column = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(SIDE));
    __mmask16 some = (__mmask16)first_of(least(a->n - first, SIDE));
    for (long j = 0; j < least(SIDE, a->m - top); j++) {
        float *to = a->y + (top + j) * a->n + first;
        __m512 found = _mm512_i32gather_ps(column, sums + j, 4);
        if (!is_first) found = _mm512_add_ps(found, _mm512_maskz_loadu_ps(some, to));
        _mm512_mask_storeu_ps(to, some, found);
    }
}

/* A panel against all activations, while the one behind it is asked for. */
static void all_blocks(const product *a, long first, long from, long steps, const bfloat16 *panel) {
    const bfloat16 *lower = panel + steps * W_PARTS * TILE;
    ahead fetch = behind(a, first + PANEL_ROWS, from, steps);
    float sums[4 * SIDE * SIDE] __attribute__((aligned(LINE)));
    for (long block = 0; block < a->blocks; block += 2) {
        const bfloat16 *x = a->split + (block * a->steps + from) * X_PARTS * TILE;
        long count = least(2, a->blocks - block);
        if (count == 2) pass(panel, lower, x, x + a->steps * X_PARTS * TILE, steps, 1, sums, &fetch);
        else pass(panel, lower, x, x, steps, 0, sums, &fetch);
        for (long i = 0; i < 2 * count; i++)
            if (first + i % 2 * SIDE < a->n)
                hand_on(a, sums + i * SIDE * SIDE, first + i % 2 * SIDE, (block + i / 2) * SIDE, from == 0);
    }
}

long tiles_room(long k, long m, int threads) {
    long blocks = ceiling(m, SIDE), steps = ceiling(k, STEP);
    return (blocks * steps * X_PARTS + threads * depth_of(blocks, steps) * 2 * W_PARTS) * TILE * (long)sizeof(bfloat16);
}

int tiles_linear(const uint16_t *w, const float *x, float *y, void *room, long n, long k, long m, int threads) {
    long blocks = ceiling(m, SIDE), steps = ceiling(k, STEP), panels = ceiling(n, PANEL_ROWS);
    product a = {.w = w, .x = x, .y = y, .split = room, .n = n, .k = k, .m = m,
                 .blocks = blocks, .steps = steps, .depth = depth_of(blocks, steps)};
    int odd = 0;
#pragma omp parallel num_threads(threads) reduction(| : odd)
    {
        bfloat16 *panel = a.split + (blocks * steps * X_PARTS + omp_get_thread_num() * a.depth * 2 * W_PARTS) * TILE;
        configure();
#pragma omp for schedule(static)
        for (long block = 0; block < blocks; block++) split_rows(&a, block, &odd);
        for (long from = 0; from < steps; from += a.depth) {
            long some = least(a.depth, steps - from);
#pragma omp for schedule(dynamic, PANELS) /* and wait: the next columns add to what these came to */
            for (long number = 0; number < panels; number++) {
                split_panel(&a, number * PANEL_ROWS, from, some, panel, &odd);
                all_blocks(&a, number * PANEL_ROWS, from, some, panel);
            }
        }
        _tile_release();
    }
    return !odd;
}
#endif
