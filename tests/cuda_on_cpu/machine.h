#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>

bool on_device(const void *at, size_t size);  // whether all of it is a device's memory
cudaError_t complain(const char *what);
