/* Multiply float32 activations by float16 weights and add up in float32.
 *
 * y[m][n] = sum over k of x[m][k] * w[n][k]: the layout of a linear layer, both contiguous along k. A tile of
 * up to X_ROWS activation rows by 4 weight rows, or by 2 where the tile is high, lives in registers; memory is read
 * once and at half the bytes of float32. Widening takes the units that multiply, too: where few tiles pass, weights are
 * widened as they are loaded; where many do, a panel of them is widened once, into the order in which it is read.
 * Three levels of memory are kept busy: a panel of weights stays in the second-level cache while all activations pass,
 * a block of a tile's activations stays in the first-level cache while the panel's rows pass, and the next panel and
 * the next block are asked for meanwhile. Activations are copied once into the order in which tiles read them.
 */
#include "half_tiles.h"

#include <immintrin.h>
#include <stdint.h>
#include <omp.h>
#include <string.h>
#include <unistd.h>

#define W_ROWS 4 /* weight rows of a tile, at most */
#define PANEL_ROWS 32
#define MOST_COLUMNS 4096 /* of a panel that is widened */
#define WIDE_TILES 5 /* from which a panel is widened once */
#define TILE_BYTES (24 * 1024) /* of activations, in a first-level cache of 32 KiB or more */
#define LINE 64

#ifdef __AVX512F__
#define LANES 16
#define X_ROWS 12 /* 24 sums, and 6 columns of activations and 1 of weights, or 1 and 2, in 32 registers */
typedef __m512 vector;
#define IN_REGISTER(of) __asm__("" : "+v"(of)) /* loaded once, where a compiler would load it for every use */
#define ZERO _mm512_setzero_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define FMA _mm512_fmadd_ps
#define WIDEN(from) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from)))
static inline __m128 folded(vector v) {
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v),
                                _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
#else
#define LANES 8
#define X_ROWS 6 /* 12 sums, and 3 columns of activations and 1 of weights, or 1 and 2, in 16 registers */
typedef __m256 vector;
#define IN_REGISTER(of) __asm__("" : "+x"(of))
#define ZERO _mm256_setzero_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define FMA _mm256_fmadd_ps
#define WIDEN(from) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from)))
static inline __m128 folded(vector v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
#endif

/* The sums of four vectors, in order. */
static inline __m128 sums_of(const vector *of, int stride) {
    __m128 a = folded(of[0]), b = folded(of[stride]), c = folded(of[2 * stride]), d = folded(of[3 * stride]);
    __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

/* What is asked for before it is needed: weights, a piece of each row, and the next block of activations. */
typedef struct {
    const char *weights, *piece_end;
    long piece, stride; /* bytes of a row's piece, and from one row to the next */
    int lines;          /* with every pair of steps */
    const char *activations, *block_end;
} ahead;

static inline __attribute__((always_inline)) void ask(ahead *fetch, long step) {
    if (step % (LINE / 2 / LANES) == 0)
        for (int i = 0; i < fetch->lines; i++) {
            _mm_prefetch(fetch->weights, _MM_HINT_T1);
            fetch->weights += LINE;
            if (fetch->weights >= fetch->piece_end) {
                fetch->weights += fetch->stride - fetch->piece;
                fetch->piece_end += fetch->stride;
            }
        }
    if (fetch->activations < fetch->block_end) {
        _mm_prefetch(fetch->activations, _MM_HINT_T0);
        fetch->activations += LINE;
    }
}

/* Weight rows of a tile: where each begins; or, if they were widened, vectors of two rows in turn. */
typedef struct {
    const uint16_t *narrow[W_ROWS];
    const float *wide;
} strip;

/* Add `steps` vectors of columns of one tile to its sums; what says how is constant wherever this is called. */
static inline __attribute__((always_inline)) void add_up(
    const strip *w, const float *x, vector *kept, long steps, int rows, int height, int is_wide, ahead *fetch) {
    vector sums[W_ROWS][X_ROWS];
    const uint16_t *w0 = w->narrow[0], *w1 = w->narrow[1], *w2 = w->narrow[2], *w3 = w->narrow[3];
    const float *wide = w->wide;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < height; j++) sums[i][j] = kept[i * height + j];
    for (long step = 0; step < steps; step++, x += height * LANES) {
        ask(fetch, step);
        if (rows == 2) {
            vector first = is_wide ? LOAD(wide + step * 2 * LANES) : WIDEN(w0 + step * LANES);
            vector second = is_wide ? LOAD(wide + (step * 2 + 1) * LANES) : WIDEN(w1 + step * LANES);
            for (int j = 0; j < height; j++) {
                vector column = LOAD(x + j * LANES);
                IN_REGISTER(column);
                sums[0][j] = FMA(first, column, sums[0][j]);
                sums[1][j] = FMA(second, column, sums[1][j]);
            }
            continue;
        }
        vector columns[X_ROWS];
        for (int j = 0; j < height; j++) columns[j] = LOAD(x + j * LANES);
        vector weight = WIDEN(w0 + step * LANES);
        for (int j = 0; j < height; j++) sums[0][j] = FMA(weight, columns[j], sums[0][j]);
        weight = WIDEN(w1 + step * LANES);
        for (int j = 0; j < height; j++) sums[1][j] = FMA(weight, columns[j], sums[1][j]);
        weight = WIDEN(w2 + step * LANES);
        for (int j = 0; j < height; j++) sums[2][j] = FMA(weight, columns[j], sums[2][j]);
        weight = WIDEN(w3 + step * LANES);
        for (int j = 0; j < height; j++) sums[3][j] = FMA(weight, columns[j], sums[3][j]);
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < height; j++) kept[i * height + j] = sums[i][j];
}

#define HIGHEST_OF_4 (X_ROWS / 2)

/* Weight rows of a tile of so many activation rows. */
static inline int rows_of(int height) { return height > HIGHEST_OF_4 ? 2 : 4; }

#define CASE(height) \
    case height: \
        if (w->wide != NULL) add_up(w, x, kept, steps, 2, height, 1, fetch); \
        else if (height > HIGHEST_OF_4) add_up(w, x, kept, steps, 2, height, 0, fetch); \
        else add_up(w, x, kept, steps, 4, height, 0, fetch); \
        break

static void block(const strip *w, const float *x, vector *kept, long steps, int height, ahead *fetch) {
    switch (height) {
#if X_ROWS == 12
        CASE(12); CASE(11); CASE(10); CASE(9); CASE(8); CASE(7);
#endif
        CASE(6); CASE(5); CASE(4); CASE(3); CASE(2); CASE(1);
    }
}

/* A vector of weights, of which there may be fewer; zeros fill it. */
static inline vector widened(const uint16_t *w, long columns) {
    uint16_t filled[LANES] = {0};
    if (columns >= LANES) return WIDEN(w);
    memcpy(filled, w, (size_t)columns * sizeof(uint16_t));
    return WIDEN(filled);
}

/* The columns that fill no vector. */
static void remainder_of(const strip *w, const float *x, vector *kept, long columns, int height) {
    for (int i = 0; i < rows_of(height); i++) {
        vector weights = widened(w->narrow[i], columns);
        for (int j = 0; j < height; j++)
            kept[i * height + j] = FMA(weights, LOAD(x + j * LANES), kept[i * height + j]);
    }
}

static inline long whole_vectors(long columns) { return (columns + LANES - 1) / LANES * LANES; }

/* What is multiplied, and how it is divided. */
typedef struct {
    const uint16_t *w;
    const float *x; /* packed */
    float *y;
    long n, k, m;
    long tiles, depth; /* of activations; columns of each that stay in the first-level cache */
    long columns;      /* of a panel */
} product;

/* Rows `first` to `last - 1` of the weights, columns `from` to `to - 1`. */
typedef struct {
    long first, last, from, to;
    float *wide; /* the same, widened; or NULL */
} panel;

/* Widen a panel into vectors of two rows in turn. */
static void widen(const product *a, const panel *p) {
    float *to = p->wide;
    for (long row = p->first; row < p->last; row += 2)
        for (long at = p->from; at < p->to; at += LANES)
            for (long i = 0; i < 2; i++, to += LANES)
                STORE(to, widened(a->w + least(row + i, p->last - 1) * a->k + at, p->to - at));
}

/* Columns `from` to `to - 1` of a tile's activations against the panel's rows. */
static void add_block(const product *a, const panel *p, const float *x, vector *kept, long from, long to, int height,
                      ahead *fetch) {
    long rows = rows_of(height), whole = (to - from) / LANES, rest = to - from - whole * LANES;
    for (long row = p->first; row < p->last; row += rows, kept += rows * height) {
        strip w = {.wide = NULL};
        if (p->wide != NULL) {
            w.wide = p->wide + (row - p->first) * whole_vectors(p->to - p->from) + (from - p->from) * 2;
            block(&w, x, kept, whole_vectors(to - from) / LANES, height, fetch);
            continue;
        }
        for (int i = 0; i < W_ROWS; i++) w.narrow[i] = a->w + least(row + i, p->last - 1) * a->k + from;
        if (whole > 0) block(&w, x, kept, whole, height, fetch);
        if (rest > 0) {
            for (int i = 0; i < W_ROWS; i++) w.narrow[i] += whole * LANES;
            remainder_of(&w, x + whole * LANES * height, kept, rest, height);
        }
    }
}

/* A panel against one tile: set its answers, or add to what earlier columns came to. */
static void pass(const product *a, const panel *p, const float *x, float *y, int height, const float *next,
                 ahead *fetch) {
    vector kept[PANEL_ROWS * X_ROWS];
    for (long i = 0; i < PANEL_ROWS * height; i++) kept[i] = ZERO();
    for (long from = p->from; from < p->to; from += a->depth) {
        long to = least(from + a->depth, p->to);
        const float *behind = to < p->to ? x + to * height : next + p->from * height;
        fetch->activations = (const char *)behind;
        fetch->block_end = (const char *)(behind + (to - from) * height);
        add_block(a, p, x + from * height, kept, from, to, height, fetch);
    }
    for (long row = 0; row < p->last - p->first; row += W_ROWS)
        for (int j = 0; j < height; j++) {
            float sums[W_ROWS], *to = y + j * a->n + p->first + row;
            _mm_storeu_ps(sums, sums_of(&kept[row * height + j], height));
            for (long i = 0; i < least(W_ROWS, p->last - p->first - row); i++)
                to[i] = p->from > 0 ? to[i] + sums[i] : sums[i];
        }
}

/* A panel against all activations, while the one behind it is asked for. */
static void all_tiles(const product *a, const panel *p) {
    int is_last = p->to == a->k;
    long row = is_last ? p->last : p->first, from = is_last ? 0 : p->to, to = least(from + a->columns, a->k);
    const char *next = (const char *)(a->w + row * a->k + from);
    long piece = (to - from) * (long)sizeof(uint16_t), stride = a->k * (long)sizeof(uint16_t);
    ahead fetch = {.weights = next, .piece_end = next + piece, .piece = piece, .stride = stride};
    for (long t = 0; t < a->tiles; t++) {
        long top = a->m * t / a->tiles, height = a->m * (t + 1) / a->tiles - top, rows = rows_of((int)height);
        long passes = least(rows, a->tiles < 2 ? 1 : a->tiles < 4 ? 2 : 4); /* in which all of it is asked for */
        const float *x = a->x + top * whole_vectors(a->k);
        fetch.lines = t < passes ? (int)(rows / passes) : 0;
        pass(a, p, x, a->y + top * a->n, (int)height,
             t + 1 < a->tiles ? x + height * whole_vectors(a->k) : a->x, &fetch);
    }
}

/* Copy a tile's rows, k columns each, into vectors of one row after the other; zeros fill the last ones. */
static void pack(const float *x, float *packed, long k, int height) {
    for (long from = 0; from < k; from += LANES)
        for (int j = 0; j < height; j++, packed += LANES) {
            if (from + LANES <= k) {
                STORE(packed, LOAD(x + j * k + from));
            } else {
                memset(packed, 0, LANES * sizeof(float));
                memcpy(packed, x + j * k + from, (size_t)(k - from) * sizeof(float));
            }
        }
}

/* Columns of a widened panel that take a quarter of the second-level cache. */
static long wide_columns(void) {
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE), columns = (bytes > 0 ? bytes : 1 << 20) / 4 / PANEL_ROWS / 4;
    return least(columns < 1024 ? 1024 : columns, MOST_COLUMNS) / LANES * LANES;
}

static long vectors_room(long k, long m, int threads) {
    return (m * whole_vectors(k) + threads * PANEL_ROWS * MOST_COLUMNS) * (long)sizeof(float);
}

static void vectors_linear(const uint16_t *w, const float *x, float *y, float *room, long n, long k, long m, int threads) {
    long highest = m > X_ROWS ? X_ROWS : HIGHEST_OF_4; /* with few rows memory decides, and 4 rows of weights read it best */
    long tiles = (m + highest - 1) / highest, filled = whole_vectors(k), panels = (n + PANEL_ROWS - 1) / PANEL_ROWS;
    int is_wide = tiles >= WIDE_TILES;
    product a = {.w = w, .x = room, .y = y, .n = n, .k = k, .m = m, .tiles = tiles,
                 .depth = tiles == 1 ? filled : TILE_BYTES / X_ROWS / 4, .columns = is_wide ? wide_columns() : filled};
#pragma omp parallel num_threads(threads)
    {
        float *wide = is_wide ? room + m * filled + omp_get_thread_num() * PANEL_ROWS * MOST_COLUMNS : NULL;
#pragma omp for schedule(static)
        for (long t = 0; t < tiles; t++) {
            long top = m * t / tiles, height = m * (t + 1) / tiles - top;
            pack(x + top * k, room + top * filled, k, (int)height);
        }
#pragma omp for schedule(dynamic, PANELS)
        for (long number = 0; number < panels; number++)
            for (long from = 0; from < k; from += a.columns) {
                panel p = {number * PANEL_ROWS, least((number + 1) * PANEL_ROWS, n), from, least(from + a.columns, k), wide};
                if (is_wide) widen(&a, &p);
                all_tiles(&a, &p);
            }
    }
}

/* Bytes that `half_linear` needs, where they begin at a line of the cache. */
long half_linear_room(long k, long m, int threads) {
    long bytes = vectors_room(k, m, threads);
#if HAVE_TILES
    long more = tiles_room(k, m, threads);
    if (m >= TILES_FROM && more > bytes) bytes = more;
#endif
    return bytes;
}

/* x: float32 [m, k]; w: float16 bits [n, k]; y: float32 [m, n]; all contiguous and apart from each other. */
void half_linear(const uint16_t *w, const float *x, float *y, void *room, long n, long k, long m, int threads) {
#if HAVE_TILES
    if (m >= TILES_FROM && tiles_allowed() && tiles_linear(w, x, y, room, n, k, m, threads)) return;
#endif
    vectors_linear(w, x, y, room, n, k, m, threads);
}
