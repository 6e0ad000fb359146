/* Multiply float32 activations by float16 weights and add up in float32.
 *
 * y[m][n] = sum over k of x[m][k] * w[n][k]: the layout of a linear layer, both contiguous along k. A tile of
 * 3 weight rows by 4 activation rows lives in 12 of the 16 registers; weights are widened as they are loaded, so
 * that memory is read once and at half the bytes of float32. A panel of weight rows stays in the cache while all
 * activations pass.
 */
#include <immintrin.h>
#include <stdint.h>

#define W_ROWS 3
#define X_ROWS 4
#define LANES 8
#define PANEL 24 /* weight rows: a multiple of W_ROWS; measured best of 12 to 48 at 4,096 columns */

static inline float sum_of(__m256 lanes) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

/* One tile of outputs; the counts of rows are constants wherever this is called, so that its loops unroll. */
static inline __attribute__((always_inline)) void tile(
    const uint16_t *w, const float *x, float *y, long n, long k, int w_rows, int x_rows) {
    __m256 sums[W_ROWS][X_ROWS];
    for (int i = 0; i < w_rows; i++)
        for (int j = 0; j < x_rows; j++) sums[i][j] = _mm256_setzero_ps();
    long at = 0;
    for (; at + LANES <= k; at += LANES) {
        __m256 wide[W_ROWS];
        for (int i = 0; i < w_rows; i++) wide[i] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(w + i * k + at)));
        for (int j = 0; j < x_rows; j++) {
            __m256 column = _mm256_loadu_ps(x + j * k + at);
            for (int i = 0; i < w_rows; i++) sums[i][j] = _mm256_fmadd_ps(wide[i], column, sums[i][j]);
        }
    }
    for (int j = 0; j < x_rows; j++)
        for (int i = 0; i < w_rows; i++) {
            float sum = sum_of(sums[i][j]);
            for (long rest = at; rest < k; rest++) sum += _cvtsh_ss(w[i * k + rest]) * x[j * k + rest];
            y[j * n + i] = sum;
        }
}

static inline __attribute__((always_inline)) void strip(
    const uint16_t *w, const float *x, float *y, long n, long k, int w_rows, int x_rows) {
    switch (x_rows) {
    case 4: tile(w, x, y, n, k, w_rows, 4); break;
    case 3: tile(w, x, y, n, k, w_rows, 3); break;
    case 2: tile(w, x, y, n, k, w_rows, 2); break;
    default: tile(w, x, y, n, k, w_rows, 1); break;
    }
}

/* x: float32 [m, k]; w: float16 bits [n, k]; y: float32 [m, n], all contiguous and apart from each other. */
void half_linear(const uint16_t *w, const float *x, float *y, long n, long k, long m, int threads) {
    long panels = (n + PANEL - 1) / PANEL;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long panel = 0; panel < panels; panel++) {
        long first = panel * PANEL, last = first + PANEL < n ? first + PANEL : n;
        for (long top = 0; top < m; top += X_ROWS) {
            int height = m - top < X_ROWS ? (int)(m - top) : X_ROWS;
            long row = first;
            for (; row + W_ROWS <= last; row += W_ROWS)
                strip(w + row * k, x + top * k, y + top * n + row, n, k, W_ROWS, height);
            for (; row < last; row++) strip(w + row * k, x + top * k, y + top * n + row, n, k, 1, height);
        }
    }
}
