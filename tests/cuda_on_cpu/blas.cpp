// cuBLAS: the products and what little else CuPy asks of it, by their definitions.
#include <math.h>
#include <stdio.h>
#include <vector>
#include "machine.h"

namespace {
enum Type { float32 = 0, float64 = 1, float16 = 2 };  // as cudaDataType has them

struct Handle {
  void *stream = nullptr;
  int pointer_mode = 0, math_mode = 0;
};

// C = α·op(A)·op(B) + β·C, columns one after another; added up in S
template <class T, class S>
int product(int ta, int tb, int m, int n, int k, S alpha, const T *a, int lda, const T *b, int ldb, S beta, T *c, int ldc) {
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return 7;
  if (!m || !n) return 0;
  if (!on_device(c, sizeof(T)) || (k && !(on_device(a, sizeof(T)) && on_device(b, sizeof(T)))))
    return complain("a factor is not on the device"), 13;
  std::vector<S> left((size_t)m * k), column(m);
  for (size_t p = 0; p < (size_t)k; p++)
    for (size_t i = 0; i < (size_t)m; i++) left[p * m + i] = (S)a[ta ? i * lda + p : p * lda + i];
  for (size_t j = 0; j < (size_t)n; j++) {
    column.assign(m, 0);
    for (size_t p = 0; p < (size_t)k; p++) {
      S factor = (S)b[tb ? p * ldb + j : j * ldb + p];
      for (size_t i = 0; i < (size_t)m; i++) column[i] += left[p * m + i] * factor;
    }
    for (size_t i = 0; i < (size_t)m; i++) {
      T &out = c[j * ldc + i];
      out = (T)(beta == 0 ? alpha * column[i] : alpha * column[i] + beta * (S)out);
    }
  }
  return 0;
}

int product_of(Type type, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,
               int ldb, const void *beta, void *c, int ldc) {
  auto f = [](const void *x) { return *(const float *)x; };
  auto d = [](const void *x) { return *(const double *)x; };
  if (type == float32)
    return product(ta, tb, m, n, k, f(alpha), (const float *)a, lda, (const float *)b, ldb, f(beta), (float *)c, ldc);
  if (type == float64)
    return product(ta, tb, m, n, k, d(alpha), (const double *)a, lda, (const double *)b, ldb, d(beta), (double *)c, ldc);
  if (type == float16)
    return product(ta, tb, m, n, k, f(alpha), (const _Float16 *)a, lda, (const _Float16 *)b, ldb, f(beta), (_Float16 *)c, ldc);
  return 15;
}
}  // namespace

extern "C" {
int cublasCreate_v2(void **handle) { return *handle = new Handle, 0; }
int cublasDestroy_v2(void *handle) { return delete (Handle *)handle, 0; }
int cublasSetStream_v2(void *handle, void *stream) { return ((Handle *)handle)->stream = stream, 0; }
int cublasGetStream_v2(void *handle, void **stream) { return *stream = ((Handle *)handle)->stream, 0; }
int cublasSetPointerMode_v2(void *handle, int mode) { return ((Handle *)handle)->pointer_mode = mode, 0; }
int cublasGetPointerMode_v2(void *handle, int *mode) { return *mode = ((Handle *)handle)->pointer_mode, 0; }
int cublasSetMathMode(void *handle, int mode) { return ((Handle *)handle)->math_mode = mode, 0; }
int cublasGetMathMode(void *handle, int *mode) { return *mode = ((Handle *)handle)->math_mode, 0; }

int cublasGemmEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, Type type, int lda,
                 const void *b, Type b_type, int ldb, const void *beta, void *c, Type c_type, int ldc, int, int) {
  if (type != b_type || type != c_type) return 15;
  return product_of(type, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

#define FOR(LETTER, T, TYPE)                                                                                             \
  int cublas##LETTER##gemm_v2(void *, int ta, int tb, int m, int n, int k, const T *alpha, const T *a, int lda,          \
                              const T *b, int ldb, const T *beta, T *c, int ldc) {                                       \
    return product_of(TYPE, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                                       \
  }                                                                                                                      \
  int cublas##LETTER##gemv_v2(void *, int ta, int m, int n, const T *alpha, const T *a, int lda, const T *x, int by_x,   \
                              const T *beta, T *y, int by_y) {                                                           \
    if (by_x < 0 || by_y < 0) return 15;                                                                                 \
    for (int i = 0; i < (ta ? n : m); i++) {                                                                             \
      T sum = 0;                                                                                                         \
      for (int p = 0; p < (ta ? m : n); p++) sum += a[ta ? (size_t)i * lda + p : (size_t)p * lda + i] * x[(size_t)p * by_x]; \
      T &out = y[(size_t)i * by_y];                                                                                      \
      out = *beta == 0 ? *alpha * sum : *alpha * sum + *beta * out;                                                      \
    }                                                                                                                    \
    return 0;                                                                                                            \
  }                                                                                                                      \
  int cublas##LETTER##dot_v2(void *, int n, const T *x, int by_x, const T *y, int by_y, T *out) {                        \
    T sum = 0;                                                                                                           \
    for (int i = 0; i < n; i++) sum += x[(size_t)i * by_x] * y[(size_t)i * by_y];                                        \
    return *out = sum, 0;                                                                                                \
  }                                                                                                                      \
  int cublas##LETTER##geam(void *, int ta, int tb, int m, int n, const T *alpha, const T *a, int lda, const T *beta,     \
                           const T *b, int ldb, T *c, int ldc) {                                                         \
    for (int j = 0; j < n; j++)                                                                                          \
      for (int i = 0; i < m; i++) {                                                                                      \
        T x = *alpha == 0 ? 0 : *alpha * a[ta ? (size_t)i * lda + j : (size_t)j * lda + i];                              \
        T y = *beta == 0 ? 0 : *beta * b[tb ? (size_t)i * ldb + j : (size_t)j * ldb + i];                                \
        c[(size_t)j * ldc + i] = x + y;                                                                                  \
      }                                                                                                                  \
    return 0;                                                                                                            \
  }
FOR(S, float, float32)
FOR(D, double, float64)
}
