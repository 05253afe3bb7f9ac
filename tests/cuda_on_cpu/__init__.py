"""CuPy without a GPU: its own code, with the CPU in the place of CUDA.

CuPy's wheel is taken as it is, but for two modules that have CUDA's runtime inside: those are built from its sources
against ``runtime.cpp`` and ``sorts.cpp``. The libraries of CUDA that it loads are ``kernels.cpp`` (NVRTC and the
driver: g++ compiles the kernels, the CPU runs them thread by thread) and ``blas.cpp``; what is not there fails with
an error when it is called. So all of CuPy runs that needs no GPU: what it makes of arguments, dtypes, views and
devices, the source of its kernels, what memory is whose. Not shown is what the hardware does: in which order things
happen that are asked for at once, streams, the digits of its fast instructions, its speed.

``python -m tests.cuda_on_cpu COMMAND ...`` runs a command so, once what it needs is built beside this file, on x86-64
Linux with g++. ``CUDA_ON_CPU_DEVICES=2`` gives two devices.
"""
