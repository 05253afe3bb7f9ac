#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>

bool on_device(const void *at, size_t size);          // whether all of it is memory of a device
bool on_current_device(const void *at, size_t size);  // that functions are called on: none reaches into another's
cudaError_t complain(const char *what);
