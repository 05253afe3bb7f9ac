// What NVRTC gives the source of a kernel without its asking, for g++.
#pragma once
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmath>
#include <tuple>
#include <type_traits>
#include <utility>
#include <cuComplex.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>
#include <vector_types.h>

#define __CUDACC_VER_MAJOR__ 13
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __forceinline__
#undef __noinline__
#undef __restrict__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__ static  // the blocks take turns
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

// ---- one thread at a time, those of a block in turns where they wait for each other

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static char *shared_memory;
static const int warpSize = 32;

extern "C" {
void wait_for(int whom);  // 1: the block, 2: the warp
unsigned number_in_block();
extern unsigned long long exchanged[1024];
void run_block(void (*body)(void *), void *argument, const unsigned *block, unsigned *index);
}

static inline void __syncthreads() { wait_for(1); }
static inline void __syncwarp(unsigned = ~0u) { wait_for(2); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

template <class T>
static inline T shuffled(T value, unsigned lane, bool inside) {
  static_assert(sizeof(T) <= sizeof *exchanged, "");
  unsigned me = number_in_block();
  memcpy(&exchanged[me], &value, sizeof value);
  wait_for(2);
  if (inside) memcpy(&value, &exchanged[me / 32 * 32 + lane], sizeof value);
  wait_for(2);
  return value;
}
template <class T>
static inline T __shfl_down_sync(unsigned, T value, unsigned by, int width = 32) {
  unsigned lane = number_in_block() % 32;
  return shuffled(value, lane + by, lane % width + by < (unsigned)width);
}
template <class T>
static inline T __shfl_up_sync(unsigned, T value, unsigned by, int width = 32) {
  unsigned lane = number_in_block() % 32;
  return shuffled(value, lane - by, lane % width >= by);
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return shuffled(value, number_in_block() % 32 ^ mask, true);
}
template <class T>
static inline T __shfl_sync(unsigned, T value, int source, int width = 32) {
  return shuffled(value, number_in_block() % 32 / width * width + source % width, true);
}

namespace launching {
template <class... A, size_t... I>
void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*(std::remove_cv_t<std::remove_reference_t<A>> *)arguments[I]...);
}

template <class... A>
struct Call {
  void (*kernel)(A...);
  void **arguments;
  static void run(void *self) {
    call(((Call *)self)->kernel, ((Call *)self)->arguments, std::index_sequence_for<A...>());
  }
};

template <bool waiting, class... A>
void launch(void (*kernel)(A...), void **arguments, const unsigned *grid, const unsigned *block, size_t shared) {
  Call<A...> call{kernel, arguments};
  gridDim = dim3(grid[0], grid[1], grid[2]);
  blockDim = dim3(block[0], block[1], block[2]);
  shared_memory = (char *)aligned_alloc(256, (shared / 256 + 1) * 256);
  for (unsigned b = 0; b < grid[0] * grid[1] * grid[2]; b++) {
    blockIdx = make_uint3(b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]);
    if (waiting) {
      run_block(Call<A...>::run, &call, block, &threadIdx.x);
      continue;
    }
    for (threadIdx.z = 0; threadIdx.z < block[2]; threadIdx.z++)
      for (threadIdx.y = 0; threadIdx.y < block[1]; threadIdx.y++)
        for (threadIdx.x = 0; threadIdx.x < block[0]; threadIdx.x++) Call<A...>::run(&call);
  }
  free(shared_memory);
}
}  // namespace launching

#define LAUNCHER(KERNEL, WAITING)                                                                         \
  extern "C" __attribute__((visibility("default"))) void launch_##KERNEL(                                 \
      void **arguments, const unsigned *grid, const unsigned *block, size_t shared) {                     \
    launching::launch<WAITING>(&KERNEL, arguments, grid, block, shared);                                  \
  }

// ---- functions

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

template <class To, class From>
static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof from, "");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
template <class T, class U>
using Common = std::enable_if_t<std::is_arithmetic<T>::value && std::is_arithmetic<U>::value, std::common_type_t<T, U>>;
template <class T, class U>
static inline Common<T, U> max(T a, U b) {
  using C = Common<T, U>;
  if constexpr (std::is_floating_point<C>::value) return std::fmax((C)a, (C)b);
  return (C)a > (C)b ? (C)a : (C)b;
}
template <class T, class U>
static inline Common<T, U> min(T a, U b) {
  using C = Common<T, U>;
  if constexpr (std::is_floating_point<C>::value) return std::fmin((C)a, (C)b);
  return (C)a < (C)b ? (C)a : (C)b;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline int __float_as_int(float x) { return bits_as<int>(x); }
static inline unsigned __float_as_uint(float x) { return bits_as<unsigned>(x); }
static inline float __int_as_float(int x) { return bits_as<float>(x); }
static inline float __uint_as_float(unsigned x) { return bits_as<float>(x); }
static inline long long __double_as_longlong(double x) { return bits_as<long long>(x); }
static inline double __longlong_as_double(long long x) { return bits_as<double>(x); }
static inline int __double2hiint(double x) { return (int)(bits_as<unsigned long long>(x) >> 32); }
static inline int __double2loint(double x) { return (int)bits_as<unsigned long long>(x); }
static inline double __hiloint2double(int high, int low) {
  return bits_as<double>((unsigned long long)(unsigned)high << 32 | (unsigned)low);
}
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }
static inline float rsqrt(float x) { return 1 / std::sqrt(x); }
static inline float rsqrtf(float x) { return rsqrt(x); }
static inline double normcdf(double x) { return std::erfc(-x * M_SQRT1_2) / 2; }
static inline float normcdff(float x) { return std::erfc(-x * (float)M_SQRT1_2) / 2; }
template <class T>
static inline T __ldg(const T *from) {
  return *from;
}

template <class T, class U>
static inline T atomicCAS(T *at, U expected, U value) {
  T old = *at;
  if (old == expected) *at = value;
  return old;
}
#define ADDS(T)                                                                   \
  static inline T atomicAdd(T *at, T by) { return std::exchange(*at, *at + by); } \
  static inline T atomicExch(T *at, T by) { return std::exchange(*at, by); }
#define ORDERS(T)                                                                     \
  static inline T atomicMax(T *at, T by) { return std::exchange(*at, max(*at, by)); } \
  static inline T atomicMin(T *at, T by) { return std::exchange(*at, min(*at, by)); }
ADDS(int) ADDS(unsigned) ADDS(unsigned long long) ADDS(float) ADDS(double)
ORDERS(int) ORDERS(unsigned) ORDERS(unsigned long long)  // the others are CuPy's own
