"""Build it, and run a command with it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CUPY = "14.2.0"
HEADERS = ("nvidia-cuda-runtime==13.0.88", "nvidia-cuda-crt==13.0.88", "nvidia-cuda-profiler-api==13.0.85")
LIBRARIES = shlex.split(
    "cuda.so.1 cudart.so.13 nvrtc.so.13 cublas.so.13 cublasLt.so.13 cusolver.so.12 cusparse.so.12 curand.so.10"
)
MODULES = {"cupy_backends/cuda/api/runtime": [], "cupy/cuda/thrust": ["sorts.cpp"]}
"""CuPy's modules that are built anew, and what they are linked with besides."""
SETTINGS = "-E CUPY_USE_CUDA_PYTHON=False -E CUPY_CUFFT_STATIC=False -E CUPY_CUDA_VERSION=13000 -E CUPY_HIP_VERSION=0"
CYTHON = (sys.executable, "-m", "cython", "-3", "--cplus", "-X", "binding=False", *shlex.split(SETTINGS))
KERNELS = shlex.split("g++ -std=c++17 -O1 -fPIC -fwrapv -ffp-contract=off -fvisibility=hidden -fpermissive -w")

ABSENT = """
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*_, **__):
        raise NotImplementedError(f"CUDA on the CPU: there is no {__name__}.{name}")

    return type(name, (), {"__init__": refuse})
"""


def run(*command: object, **options: object) -> str:
    """What a command prints; a failure ends this program with it."""
    done = subprocess.run([str(each) for each in command], text=True, capture_output=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def fetch(folder: Path) -> None:
    """CuPy's wheel and sources, CUDA's headers, Cython."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    site = folder / "site"
    run(*pip, "install", "--target", site, "--no-deps", f"cupy-cuda13x=={CUPY}", "cuda-pathfinder", *HEADERS)
    shutil.rmtree(site / "nvidia/cu13/lib")  # the real runtime
    shutil.rmtree(next(site.glob("cupy_cuda13x-*.dist-info")))  # CuPy warns where two of its packages are installed
    (generators,) = site.glob("cupy/random/_generator_api.*.so")  # has one inside, too
    generators.unlink()
    generators.with_name("_generator_api.py").write_text(ABSENT)
    run(*pip, "install", "--target", folder / "tools", "--no-deps", "Cython>=3.2,<3.3")
    stub = os.environ | {"CUPY_INSTALL_USE_STUB": "1"}  # or pip cannot ask the sources for their name without CUDA
    run(*pip, "download", "--no-deps", "--no-binary", "cupy", "--dest", folder, f"cupy=={CUPY}", env=stub)
    with tarfile.open(next(folder.glob("cupy-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")


def build(folder: Path) -> None:
    """CuPy with the libraries here in place of CUDA's."""
    site, lib, sources = folder / "site", folder / "lib", folder / f"cupy-{CUPY}"
    cccl = site / "cupy/_core/include/cupy/_cccl"
    headers = (site / "nvidia/cu13/include", cccl / "thrust", cccl / "libcudacxx", sysconfig.get_path("include"))
    includes = [f"-I{each}" for each in headers]

    def compiled(source: Path, *options: str) -> Path:
        target = folder / f"{source.parent.name}-{source.stem}.o"
        run("g++", "-std=c++17", "-fPIC", "-w", *includes, *options, "-c", source, "-o", target)
        return target

    def module(name: str) -> Path:
        source = sources / f"{name}.pyx"
        run(*CYTHON, source.relative_to(sources), cwd=sources, env=os.environ | {"PYTHONPATH": str(folder / "tools")})
        return compiled(source.with_suffix(".cpp"), f"-I{source.parent}", '-DCYTHON_EXTERN_C=extern "C"')

    shutil.copy(HERE / "device.h", folder)
    run(*KERNELS, *includes, "-x", "c++-header", folder / "device.h", "-o", folder / "device.h.gch")
    with ThreadPoolExecutor() as pool:
        modules = dict(zip(MODULES, pool.map(module, MODULES), strict=True))
        ours = list(pool.map(lambda name: compiled(HERE / name, "-O3"), ("runtime.cpp", "kernels.cpp", "blas.cpp")))
    callers = [*modules.values(), *(site / "cupy_backends/cuda/libs").glob("*.so")]
    (folder / "absent.cpp").write_text(absent(callers, ours))
    lib.mkdir()
    library = lib / "libcuda_on_cpu.so"
    run(
        "g++", "-shared", f"-Wl,-soname,{library.name}", *ours, compiled(folder / "absent.cpp"), "-ldl", "-o", library
    )
    for name in LIBRARIES:
        (lib / f"lib{name}").symlink_to(library.name)
    for name, objects in modules.items():
        target = site / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        besides = [compiled(HERE / other, "-O2") for other in MODULES[name]]
        run("g++", "-shared", objects, *besides, library, "-o", target)


def absent(callers: list[Path], ours: list[Path]) -> str:
    """Source for the functions of CUDA's that are called but not here: they say so and fail."""

    def symbols(which: str, files: list[Path]) -> set[str]:
        return {line.split()[-1].partition("@")[0] for line in run("nm", which, *files).splitlines() if line}

    missing = symbols("--undefined-only", callers) - symbols("--defined-only", ours)
    body = 'extern "C" int %s() { return fprintf(stderr, "CUDA on the CPU: there is no %s\\n"), 801; }\n'
    theirs = ("cuda", "cublas", "cusolver", "cusparse", "curand")
    return "#include <stdio.h>\n" + "".join(
        body % (name, name) for name in sorted(missing) if name.startswith(theirs)
    )


def environment(folder: Path) -> dict[str, str]:
    """The variables that a command is run with."""

    def first(path: Path, name: str) -> str:
        return os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))

    return os.environ | {
        "PYTHONPATH": first(folder / "site", "PYTHONPATH"),
        "LD_LIBRARY_PATH": first(folder / "lib", "LD_LIBRARY_PATH"),
        "CUDA_PATH": str(folder / "site" / "nvidia" / "cu13"),
        "CUPY_CACHE_DIR": str(folder / "kernels"),
        "CUDA_ON_CPU_COMPILER": shlex.join([*KERNELS, "-shared", "-include", str(folder / "device.h")]),
        "CUPY_ACCELERATORS": "",  # neither CUB nor cuTENSOR
    }


def main() -> None:
    """Build what is not there for these sources, then become the command."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not shutil.which("g++"):
        sys.exit("CUDA on the CPU needs Linux on x86-64, with g++ installed.")
    sources = sorted([*HERE.glob("*.cpp"), *HERE.glob("*.h"), HERE / "__main__.py"])
    content = b"".join(each.read_bytes() for each in sources) + sys.version.encode()
    folder = HERE / "build" / hashlib.sha256(content).hexdigest()[:12]
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that begin at once, one builds
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fetch(folder)
            build(folder)
            (folder / "done").touch()
    os.execvpe(sys.argv[1], sys.argv[1:], environment(folder))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: python -m {__package__} COMMAND ...")
    main()
