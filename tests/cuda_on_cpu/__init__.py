"""CuPy without a GPU: its own code, with the CPU in the place of CUDA.

CuPy's wheel is taken as it is, but for modules that have CUDA's runtime inside: two are built from its sources
against ``runtime.cpp`` and ``sorts.cpp``, the new random generators are left out, CUB and jitify are not used. The
libraries of CUDA that it loads are ``kernels.cpp`` (NVRTC and the driver: g++ compiles the kernels, the CPU runs
them thread by thread) and ``blas.cpp``; what these do not have fails with an error when it is called: products of
integers, of complex numbers and of stacks of matrices, linear algebra beyond products, sparse matrices, random
numbers, graphs.

So shown is what CuPy makes of arguments, dtypes, views and devices, that its kernels for them compile, and whose
memory copies and products touch. Not shown is what belongs to the hardware: that nobody waits where he must
(everything is done at once), the digits of its fast instructions, what becomes of numbers that an integer cannot
hold, speed.

``python -m tests.cuda_on_cpu COMMAND ...`` runs a command so, once what it needs is built beside this file, on
x86-64 Linux with g++. ``CUDA_ON_CPU_DEVICES=2`` gives two devices.
"""
