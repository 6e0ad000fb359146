/* Multiply float32 activations by float16 weights and add up in float32.
 *
 * y[m][n] = sum over k of x[m][k] * w[n][k]: the layout of a linear layer, both contiguous along k. A tile of
 * 4 weight rows by X_ROWS activation rows lives in registers; weights are widened as they are loaded, so that memory
 * is read once and at half the bytes of float32. Three levels of memory are kept busy:
 * a panel of weight rows stays in the second-level cache while all activations pass, a block of DEPTH columns of a
 * tile's activations in the first-level cache while the panel's rows pass, and the next panel is asked for meanwhile.
 * Activations are copied once into the order in which tiles read them.
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define W_ROWS 4
#define MOST_STRIPS 8 /* of W_ROWS weight rows in a panel */
#define PANEL_BYTES (384 * 1024)
#define DEPTH 768 /* columns: X_ROWS rows of float32 and W_ROWS of float16 fit a first-level cache of 32 KiB */
#define LINE 64

#ifdef __AVX512F__
#define LANES 16
#define X_ROWS 6 /* 24 sums, 6 columns of activations and 1 of weights in 32 registers */
typedef __m512 vector;
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
#define X_ROWS 3 /* 12 sums, 3 columns of activations and 1 of weights in 16 registers */
typedef __m256 vector;
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

/* Weights that are asked for before they are needed: `lines` of them with every pair of steps. */
typedef struct {
    const char *next;
    int lines;
} ahead;

/* Add `steps` vectors of columns of one tile to its sums; `height` is a constant wherever this is called. */
static inline __attribute__((always_inline)) void add_up(
    const uint16_t *const *w, const float *x, vector *kept, long steps, int height, ahead *fetch) {
    vector sums[W_ROWS][X_ROWS];
    const uint16_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    for (int i = 0; i < W_ROWS; i++)
        for (int j = 0; j < height; j++) sums[i][j] = kept[i * X_ROWS + j];
    for (long step = 0; step < steps; step++) {
        vector column[X_ROWS];
        for (int j = 0; j < height; j++) column[j] = LOAD(x + (step * height + j) * LANES);
        if (step % (LINE / 2 / LANES) == 0)
            for (int i = 0; i < fetch->lines; i++, fetch->next += LINE) _mm_prefetch(fetch->next, _MM_HINT_T1);
        vector wide = WIDEN(w0 + step * LANES);
        for (int j = 0; j < height; j++) sums[0][j] = FMA(wide, column[j], sums[0][j]);
        wide = WIDEN(w1 + step * LANES);
        for (int j = 0; j < height; j++) sums[1][j] = FMA(wide, column[j], sums[1][j]);
        wide = WIDEN(w2 + step * LANES);
        for (int j = 0; j < height; j++) sums[2][j] = FMA(wide, column[j], sums[2][j]);
        wide = WIDEN(w3 + step * LANES);
        for (int j = 0; j < height; j++) sums[3][j] = FMA(wide, column[j], sums[3][j]);
    }
    for (int i = 0; i < W_ROWS; i++)
        for (int j = 0; j < height; j++) kept[i * X_ROWS + j] = sums[i][j];
}

static void block(const uint16_t *const *w, const float *x, vector *kept, long steps, int height, ahead *fetch) {
    switch (height) {
#if X_ROWS == 6
    case 6: add_up(w, x, kept, steps, 6, fetch); break;
    case 5: add_up(w, x, kept, steps, 5, fetch); break;
    case 4: add_up(w, x, kept, steps, 4, fetch); break;
#endif
    case 3: add_up(w, x, kept, steps, 3, fetch); break;
    case 2: add_up(w, x, kept, steps, 2, fetch); break;
    default: add_up(w, x, kept, steps, 1, fetch); break;
    }
}

/* The columns that fill no vector: zeros fill it. */
static void remainder_of(const uint16_t *const *w, const float *x, vector *kept, long columns, int height) {
    uint16_t filled[W_ROWS][LANES] = {{0}};
    const uint16_t *rows[W_ROWS];
    ahead none = {0, 0};
    for (int i = 0; i < W_ROWS; i++) {
        memcpy(filled[i], w[i], (size_t)columns * sizeof(uint16_t));
        rows[i] = filled[i];
    }
    block(rows, x, kept, 1, height, &none);
}

static inline long least(long a, long b) { return a < b ? a : b; }

/* All columns of one tile of activations against the weight rows `first` to `last - 1`. */
static void pass(const uint16_t *w, const float *x, float *y, long n, long k, long first, long last, int height,
                 long depth, ahead *fetch) {
    vector kept[MOST_STRIPS][W_ROWS * X_ROWS];
    long strips = (last - first + W_ROWS - 1) / W_ROWS, whole = k / LANES * LANES;
    for (long strip = 0; strip < strips; strip++)
        for (int i = 0; i < W_ROWS * X_ROWS; i++) kept[strip][i] = ZERO();
    for (long from = 0; from < k; from += depth) {
        long to = least(from + depth, whole);
        for (long strip = 0; strip < strips; strip++) {
            const uint16_t *rows[W_ROWS];
            for (int i = 0; i < W_ROWS; i++) rows[i] = w + least(first + strip * W_ROWS + i, last - 1) * k + from;
            if (to > from) block(rows, x + from * height, kept[strip], (to - from) / LANES, height, fetch);
            if (from + depth >= k && whole < k) {
                for (int i = 0; i < W_ROWS; i++) rows[i] += whole - from;
                remainder_of(rows, x + whole * height, kept[strip], k - whole, height);
            }
        }
    }
    for (long strip = 0; strip < strips; strip++)
        for (int j = 0; j < height; j++) {
            float sums[W_ROWS], *to = y + j * n + first + strip * W_ROWS;
            _mm_storeu_ps(sums, sums_of(&kept[strip][j], X_ROWS));
            for (long i = 0; i < least(W_ROWS, last - first - strip * W_ROWS); i++) to[i] = sums[i];
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

/* x: float32 [m, k]; w: float16 bits [n, k]; y: float32 [m, n]; all contiguous and apart from each other.
 * packed: room for m * (k + 16) floats. */
void half_linear(const uint16_t *w, const float *x, float *y, float *packed, long n, long k, long m, int threads) {
    long tiles = (m + X_ROWS - 1) / X_ROWS, filled = (k + LANES - 1) / LANES * LANES;
    long strips = PANEL_BYTES / 2 / k / W_ROWS;
    long panel = W_ROWS * (strips < 1 ? 1 : least(strips, MOST_STRIPS)), panels = (n + panel - 1) / panel;
    long depth = tiles == 1 ? filled : DEPTH;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (long t = 0; t < tiles; t++) {
            long top = m * t / tiles, height = m * (t + 1) / tiles - top;
            pack(x + top * k, packed + top * filled, k, (int)height);
        }
#pragma omp for schedule(static)
        for (long p = 0; p < panels; p++) {
            long first = p * panel, last = least(first + panel, n);
            ahead fetch = {(const char *)(w + last * k), 0};
            for (long t = 0; t < tiles; t++) {
                long top = m * t / tiles, height = m * (t + 1) / tiles - top;
                fetch.lines = t < W_ROWS ? (tiles == 1 ? 4 : tiles < W_ROWS ? 2 : 1) : 0;
                pass(w, packed + top * filled, y + top * n, n, k, first, last, (int)height, depth, &fetch);
            }
        }
    }
}
