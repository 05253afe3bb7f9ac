// cuBLAS: the products and what little else CuPy asks of it, by their definitions.
//
// Scalars are read where they point to, which is the host's memory or the device's, as the pointer mode says.
#include <math.h>
#include <stdio.h>
#include <vector>
#include "machine.h"

namespace {
enum Type { float32 = 0, float64 = 1, float16 = 2 };  // as cudaDataType has them
enum Status { success = 0, invalid_value = 7, execution_failed = 13, not_supported = 15 };

struct Handle {
  void *stream = nullptr;
  int pointer_mode = 0, math_mode = 0;
};

// Columns one after another, each `by` after the last, of which op() may make rows.
template <class T>
struct Matrix {
  T *data;
  int rows, columns, by;
  bool transposed = false;

  T &operator()(size_t i, size_t j) const { return transposed ? data[i * by + j] : data[j * by + i]; }
  bool empty() const { return !rows || !columns; }
  bool there() const {
    return empty() || on_current_device(data, ((size_t)(columns - 1) * by + rows) * sizeof(T));
  }
};

template <class T>
Matrix<T> op(T *data, int transposed, int rows, int columns, int by) {  // rows and columns of what op() gives
  return transposed ? Matrix<T>{data, columns, rows, by, true} : Matrix<T>{data, rows, columns, by};
}

template <class... M>
Status checked(const M &...matrices) {
  if (((matrices.by < matrices.rows) || ...)) return invalid_value;
  if ((matrices.there() && ...)) return success;
  complain("cuBLAS was given what is not on the current device");
  return execution_failed;
}

// C = α·A·B + β·C, added up in S
template <class T, class S>
Status product(int m, int n, int k, S alpha, Matrix<const T> a, Matrix<const T> b, S beta, Matrix<T> c) {
  if (Status wrong = checked(a, b, c)) return wrong;
  std::vector<S> left((size_t)m * k), column(m);
  for (size_t p = 0; p < (size_t)k; p++)
    for (size_t i = 0; i < (size_t)m; i++) left[p * m + i] = (S)a(i, p);
  for (size_t j = 0; j < (size_t)n; j++) {
    column.assign(m, 0);
    for (size_t p = 0; p < (size_t)k; p++) {
      S factor = (S)b(p, j);
      for (size_t i = 0; i < (size_t)m; i++) column[i] += left[p * m + i] * factor;
    }
    for (size_t i = 0; i < (size_t)m; i++)
      c(i, j) = (T)(beta == 0 ? alpha * column[i] : alpha * column[i] + beta * (S)c(i, j));
  }
  return success;
}

template <class T, class S>
Status typed(int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b, int ldb,
             const void *beta, void *c, int ldc) {
  return product<T, S>(m, n, k, *(const S *)alpha, op((const T *)a, ta, m, k, lda), op((const T *)b, tb, k, n, ldb),
                       *(const S *)beta, op((T *)c, 0, m, n, ldc));
}
}  // namespace

extern "C" {
int cublasCreate_v2(void **handle) { return *handle = new Handle, success; }
int cublasDestroy_v2(void *handle) { return delete (Handle *)handle, success; }
int cublasSetStream_v2(void *handle, void *stream) { return ((Handle *)handle)->stream = stream, success; }
int cublasGetStream_v2(void *handle, void **stream) { return *stream = ((Handle *)handle)->stream, success; }
int cublasSetPointerMode_v2(void *handle, int mode) { return ((Handle *)handle)->pointer_mode = mode, success; }
int cublasGetPointerMode_v2(void *handle, int *mode) { return *mode = ((Handle *)handle)->pointer_mode, success; }
int cublasSetMathMode(void *handle, int mode) { return ((Handle *)handle)->math_mode = mode, success; }
int cublasGetMathMode(void *handle, int *mode) { return *mode = ((Handle *)handle)->math_mode, success; }

int cublasGemmEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, Type type, int lda,
                 const void *b, Type b_type, int ldb, const void *beta, void *c, Type c_type, int ldc, int, int) {
  if (type != b_type || type != c_type) return not_supported;
  auto of = type == float32   ? typed<float, float>
            : type == float64 ? typed<double, double>
            : type == float16 ? typed<_Float16, float>
                              : nullptr;
  return of ? of(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) : not_supported;
}

#define FOR(LETTER, T)                                                                                            \
  int cublas##LETTER##gemm_v2(void *, int ta, int tb, int m, int n, int k, const T *alpha, const T *a, int lda,   \
                              const T *b, int ldb, const T *beta, T *c, int ldc) {                                \
    return typed<T, T>(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                                     \
  }                                                                                                               \
  int cublas##LETTER##gemv_v2(void *, int ta, int m, int n, const T *alpha, const T *a, int lda, const T *x,      \
                              int by_x, const T *beta, T *y, int by_y) {                                          \
    int rows = ta ? n : m, inner = ta ? m : n;                                                                    \
    if (by_x < 1 || by_y < 1) return not_supported;                                                               \
    return product<T, T>(rows, 1, inner, *alpha, op(a, ta, rows, inner, lda), op(x, 1, inner, 1, by_x), *beta,    \
                         op(y, 1, rows, 1, by_y));                                                                \
  }                                                                                                               \
  int cublas##LETTER##dot_v2(void *, int n, const T *x, int by_x, const T *y, int by_y, T *out) {                 \
    T sum = 0;                                                                                                    \
    auto left = op(x, 1, n, 1, by_x), right = op(y, 1, n, 1, by_y);                                               \
    if (Status wrong = checked(left, right)) return wrong;                                                        \
    for (int i = 0; i < n; i++) sum += left(i, 0) * right(i, 0);                                                  \
    return *out = sum, success;                                                                                   \
  }                                                                                                               \
  int cublas##LETTER##geam(void *, int ta, int tb, int m, int n, const T *alpha, const T *a, int lda,             \
                           const T *beta, const T *b, int ldb, T *c, int ldc) {                                   \
    auto left = op(a, ta, m, n, lda), right = op(b, tb, m, n, ldb);                                               \
    auto out = op(c, 0, m, n, ldc);                                                                               \
    if (Status wrong = *beta == 0 ? checked(left, out) : checked(left, right, out)) return wrong;                 \
    for (int j = 0; j < n; j++)                                                                                   \
      for (int i = 0; i < m; i++)                                                                                 \
        out(i, j) = (*alpha == 0 ? 0 : *alpha * left(i, j)) + (*beta == 0 ? 0 : *beta * right(i, j));             \
    return success;                                                                                               \
  }
FOR(S, float)
FOR(D, double)
}
