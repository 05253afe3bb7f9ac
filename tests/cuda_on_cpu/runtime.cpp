// CUDA's runtime: devices are numbers, their memory is the host's, and what is asked for is done at once.
//
// The memory of each device is told from the host's and from the other devices', so that what takes one for the other
// fails as it would there. It is filled with NaN, so that what is read before it was written shows.
#include <cuda_runtime_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <chrono>
#include <map>
#include <mutex>
#include "machine.h"

extern "C" {
unsigned long copies_to_host = 0;  // each of which waits for the device
}

namespace {
struct Memory {
  size_t size;
  int device;
  cudaMemoryType type;
};

std::mutex lock;
std::map<uintptr_t, Memory> memories;
std::map<uintptr_t, double> recorded;
uintptr_t last_handle = 0;
thread_local int current = 0;
const size_t total = (size_t)8 << 30;

int devices() {
  const char *asked = getenv("CUDA_ON_CPU_DEVICES");
  return asked ? atoi(asked) : 1;
}

double milliseconds() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

template <class Handle>
cudaError_t handle(Handle *given) {
  std::lock_guard<std::mutex> held(lock);
  *given = (Handle)(last_handle += 16);
  return cudaSuccess;
}

bool holds(uintptr_t start, const Memory &memory, const void *at, size_t size) {
  return memory.type != cudaMemoryTypeHost && (uintptr_t)at + size <= start + memory.size;
}

bool memory_of(const void *at, uintptr_t *start, Memory *found) {
  std::lock_guard<std::mutex> held(lock);
  auto next = memories.upper_bound((uintptr_t)at);
  if (next == memories.begin()) return false;
  *start = (--next)->first;
  *found = next->second;
  return (uintptr_t)at < *start + found->size;
}

cudaError_t take(void **at, size_t size, cudaMemoryType type) {
  if (size > total || posix_memalign(at, 512, size + 1)) return cudaErrorMemoryAllocation;
  memset(*at, 0xFF, size);
  std::lock_guard<std::mutex> held(lock);
  memories[(uintptr_t)*at] = {size, current, type};
  return cudaSuccess;
}

cudaError_t give_back(void *at) {
  if (!at) return cudaSuccess;
  std::lock_guard<std::mutex> held(lock);
  if (!memories.erase((uintptr_t)at)) return complain("freed what was not taken");
  free(at);
  return cudaSuccess;
}

cudaError_t copy(void *to, const void *from, size_t size, cudaMemcpyKind kind) {
  if (!size) return cudaSuccess;
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  bool said = kind != cudaMemcpyDefault;
  if (said && on_device(to, size) != to_device) return complain("the target of a copy is not where it should be");
  if (said && on_device(from, size) != from_device) return complain("the source of a copy is not where it should be");
  memmove(to, from, size);
  if (kind == cudaMemcpyDeviceToHost) copies_to_host++;
  return cudaSuccess;
}
}  // namespace

cudaError_t complain(const char *what) {
  fprintf(stderr, "CUDA on the CPU: %s\n", what);
  return cudaErrorInvalidValue;
}

bool on_device(const void *at, size_t size) {
  uintptr_t start;
  Memory found;
  return memory_of(at, &start, &found) && holds(start, found, at, size);
}

bool on_current_device(const void *at, size_t size) {
  uintptr_t start;
  Memory found;
  return memory_of(at, &start, &found) && found.device == current && holds(start, found, at, size);
}

extern "C" {
const char *cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaError";
}
const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "see what CUDA on the CPU has printed";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) { return *count = devices(), cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { return *device = current, cudaSuccess; }
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) { return *can = 0, cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *free, size_t *all) { return *free = *all = total, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  *value = 0;
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = 8;
  if (attribute == cudaDevAttrMaxThreadsPerBlock) *value = 1024;
  if (attribute == cudaDevAttrMaxSharedMemoryPerBlock) *value = 48 << 10;
  if (attribute == cudaDevAttrMultiProcessorCount) *value = 4;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
  memset(properties, 0, sizeof *properties);
  strcpy(properties->name, "a CPU in place of a GPU");
  properties->totalGlobalMem = total;
  properties->sharedMemPerBlock = 48 << 10;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->major = 8;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **at, size_t size) { return take(at, size, cudaMemoryTypeDevice); }
cudaError_t cudaHostAlloc(void **at, size_t size, unsigned) { return take(at, size, cudaMemoryTypeHost); }
cudaError_t cudaFree(void *at) { return give_back(at); }
cudaError_t cudaFreeHost(void *at) { return give_back(at); }
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind) {
  return copy(to, from, size, kind);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind, cudaStream_t) {
  return copy(to, from, size, kind);
}
cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t size, cudaStream_t) {
  return copy(to, from, size, cudaMemcpyDeviceToDevice);
}
cudaError_t cudaMemcpyPeer(void *to, int, const void *from, int, size_t size) {
  return copy(to, from, size, cudaMemcpyDeviceToDevice);
}
cudaError_t cudaMemset(void *at, int value, size_t size) {
  if (size && !on_device(at, size)) return complain("set what is not the device's");
  memset(at, value, size);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *at, int value, size_t size, cudaStream_t) { return cudaMemset(at, value, size); }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *at) {
  uintptr_t start;
  Memory found;
  memset(attributes, 0, sizeof *attributes);
  attributes->type = cudaMemoryTypeUnregistered;
  attributes->device = -2;
  attributes->hostPointer = (void *)at;
  if (!memory_of(at, &start, &found)) return cudaSuccess;
  attributes->type = found.type;
  attributes->device = found.device;
  attributes->devicePointer = (void *)at;
  if (found.type == cudaMemoryTypeDevice) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) { return handle(stream); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return handle(stream); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) { return handle(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
  return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return handle(event); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return handle(event); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  std::lock_guard<std::mutex> held(lock);
  recorded[(uintptr_t)event] = milliseconds();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *time, cudaEvent_t from, cudaEvent_t to) {
  std::lock_guard<std::mutex> held(lock);
  *time = recorded[(uintptr_t)to] - recorded[(uintptr_t)from];
  return cudaSuccess;
}
}
