// CuPy's sorts, which Thrust does on a GPU: along the last axis, NaN last, equal keys in the order they are in.
#include <stddef.h>
#include <stdint.h>
#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <vector>
#include "machine.h"

namespace {
using Shape = std::vector<ptrdiff_t>;

template <class T>
bool before(T a, T b) {
  return a < b || (a == a && b != b);
}

size_t rows(const Shape &shape) {
  return std::accumulate(shape.begin(), shape.end() - 1, (size_t)1, std::multiplies<size_t>());
}

template <class T>
void sort(T *data, const Shape &shape) {
  size_t n = shape.back();
  for (T *row = data; row < data + rows(shape) * n; row += n) std::stable_sort(row, row + n, before<T>);
}

template <class T>
void argsort(T *data, size_t *indices, const Shape &shape) {
  size_t n = shape.back();
  for (size_t r = 0; r < rows(shape); r++, data += n, indices += n) {
    std::iota(indices, indices + n, 0);
    std::stable_sort(indices, indices + n, [data](size_t i, size_t j) { return before(data[i], data[j]); });
  }
}

template <class T>
void lexsort(T *keys, size_t *indices, size_t k, size_t n) {
  std::iota(indices, indices + n, 0);
  for (; k--; keys += n)
    std::stable_sort(indices, indices + n, [keys](size_t i, size_t j) { return before(keys[i], keys[j]); });
}

template <class F>
void with_type(int type, void *data, size_t count, F sorted) {  // as CuPy's type_dispatcher.cuh numbers them
  auto f = [&](auto *typed) {
    if (!on_current_device(data, count * sizeof *typed))
      throw std::runtime_error("CUDA on the CPU: what is sorted is on another device");
    sorted(typed);
  };
  switch (type) {
    case 0: return f((int8_t *)data);
    case 1: return f((uint8_t *)data);
    case 2: return f((int16_t *)data);
    case 3: return f((uint16_t *)data);
    case 4: return f((int32_t *)data);
    case 5: return f((uint32_t *)data);
    case 6: return f((int64_t *)data);
    case 7: return f((uint64_t *)data);
    case 8: return f((_Float16 *)data);
    case 9: return f((float *)data);
    case 10: return f((double *)data);
    case 13: return f((bool *)data);
    default: throw std::runtime_error("CUDA on the CPU does not sort this type");
  }
}
}  // namespace

void thrust_sort(int type, void *data, size_t *, const Shape &shape, intptr_t, void *) {
  with_type(type, data, rows(shape) * shape.back(), [&](auto *typed) { sort(typed, shape); });
}
void thrust_argsort(int type, size_t *indices, void *data, void *, const Shape &shape, intptr_t, void *) {
  with_type(type, data, rows(shape) * shape.back(), [&](auto *typed) { argsort(typed, indices, shape); });
}
void thrust_lexsort(int type, size_t *indices, void *keys, size_t k, size_t n, intptr_t, void *) {
  with_type(type, keys, k * n, [&](auto *typed) { lexsort(typed, indices, k, n); });
}
