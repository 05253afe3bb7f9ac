"""Sequences of machine code: products, sums and NumPy's own loops, each lane with its rows, give NumPy's numbers."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xpnn.compiler import gemm, loops, sequence, team
from xpnn.compiler.blas import libraries, threads
from xpnn.compiler.sequence import Late, Sequence, cuts
from xpnn.compiler.team import Team

pytestmark = pytest.mark.skipif(not gemm.available(), reason="no LLVM, or no library to call products of")

LANES = [1, *([2, 3] if team.available() else [])]


def close(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if np.dtype(dtype) == np.float32 else {"rtol": 1e-12, "atol": 1e-12}


def new(lanes, arguments=0):
    """An empty sequence, and what wakes up its lanes."""
    members = Team(lanes) if lanes > 1 else None
    return Sequence(members, lanes, arguments), members.wake if members else lambda: None


# products


@pytest.fixture(params=["mkl", "openblas"])
def blas(request, monkeypatch):
    """Products of each library, whichever is the faster one here."""
    library = getattr(gemm, f"_{request.param}")()
    if not library:
        of_numpys_packages = any("scipy_openblas64_" in each.filepath for each in libraries())
        assert not (request.param == "openblas" and of_numpys_packages)
        pytest.skip(f"{request.param} is not here")
    for name in ("_small", "_large"):
        monkeypatch.setattr(gemm, name, lambda: library)
    return request.param


SHAPES = [(12, 7, 9), (1, 7, 9), (12, 7, 1), (12, 1, 9), (1, 40, 1), (1, 1, 1), (50, 60, 1), (1, 60, 50),
          (1, 3000, 1), (3000, 1, 1), (1, 1, 3000), (40, 64, 33)]  # fmt: skip


def laid_out(x):
    """The same matrix in other layouts that BLAS can read."""
    n, m = x.shape
    wide = np.full((2 * n + 1, m + 3), np.nan, x.dtype)
    wide[: 2 * n : 2, 1 : m + 1] = x
    tall = np.full((m + 2, n + 3), np.nan, x.dtype)
    tall[1 : m + 1, 2 : n + 2] = x.T
    return {"rows": x, "columns": np.asfortranarray(x), "every other row": wide[: 2 * n : 2, 1 : m + 1],
            "part of the columns": tall[1 : m + 1, 2 : n + 2].T}  # fmt: skip


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_numpy(shape, lanes, dtype, rng, blas, monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    n, k, m = shape
    a, b = rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)
    for left in laid_out(a).values():
        for right in laid_out(b).values():
            out = np.full((n + 2, m), np.nan, dtype)
            product, wake = new(lanes)
            product.product(left, right, out[1:-1])
            wake()
            threads.one(product)
            np.testing.assert_allclose(out[1:-1], a @ b, **close(dtype))
            assert np.isnan(out[[0, -1]]).all()


@pytest.mark.parametrize("streams", [False, True], ids=["in caches", "streamed"])
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_over_rows_in_two_parts(shape, lanes, streams, dtype, rng, monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    m, n, k = shape
    a, b = rng.normal(size=(n, m)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
    vector = np.full(m * k + 5, 100, dtype)  # of which the sum is a part
    out = vector[3 : 3 + m * k].reshape(m, k)
    for left in laid_out(a).values():
        of_lanes, shown = ([np.full((m, k), np.nan, dtype) for _ in cuts(n, lanes)] for _ in range(2))
        if not streams or len(of_lanes) == 1:
            of_lanes[0], shown = out, []
        pieces = ((0, m, k),) if lanes % 2 else ((0, k, 1), (k, (m - 1) * k, 1))
        parts, wake = new(lanes)
        parts.partial(left.T, b, tuple(of_lanes), tuple(shown), pieces)
        total, wake_too = new(lanes)
        total.total(out, tuple(of_lanes), tuple(shown), pieces)
        wake()
        threads.one(parts)
        wake_too()
        total()
        np.testing.assert_allclose(out, a.T @ b, **close(dtype))
        assert (vector[[0, 1, 2, -2, -1]] == 100).all()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shape", [(1,), (7,), (100_000,), (40, 30), (3, 10_000), (2000, 1)], ids=str)
def test_sums_of_all_are_as_exact_as_numpys(shape, lanes, dtype, rng):
    x, out = rng.uniform(size=shape).astype(dtype), np.full((), np.nan, dtype)
    of_lanes = (out, *(np.full((), np.nan, dtype) for _ in cuts(shape[0], lanes)[1:]))
    parts, wake = new(lanes)
    parts.sum(x, of_lanes, shape[0], x.size // shape[0])
    total, _ = new(1)
    total.total(out, of_lanes, (), ((0, 1, 1),))
    wake()
    parts()
    total()
    if len(of_lanes) == 1:
        assert out == np.add.reduce(x, None)  # to the bit
    assert float(out) == pytest.approx(np.sum(x, dtype=np.float64), rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("size", [0, 1, 5, 15, 16, 17, 100, 1000])
@pytest.mark.parametrize("offset", [0, 1, 3, 15])
def test_copies_are_streamed_from_and_to_anywhere(size, offset, lanes, dtype, rng, monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    x, memory = rng.normal(size=size + 40).astype(dtype), np.full(size + 40, 100, dtype)
    copy = memory[offset : offset + size]
    sequence_, wake = new(lanes)
    sequence_.stream(x[7 : 7 + size], copy, size, 1)
    wake()
    sequence_()
    np.testing.assert_array_equal(copy, x[7 : 7 + size])
    assert (memory[:offset] == 100).all()
    assert (memory[offset + size :] == 100).all()


def test_products_take_subnormal_numbers_for_0(dtype, blas):
    small = np.full((4, 4), {"float32": 1e-20, "float64": 1e-155}[dtype], dtype)
    out = np.ones((4, 4), dtype)
    product, _ = new(1)
    product.product(small, small, out)
    product()
    assert (small @ small).all()
    assert not out.any()


def test_products_that_no_library_does():
    assert gemm.function(4, 4, 4, np.float16) is None
    assert gemm.function(4, 4, 4, np.int64) is None


def test_what_blas_cannot_read():
    x = np.zeros((8, 6))
    assert not any(map(gemm.readable, (x[:, ::2], x[::-1], x[:, ::-1], np.broadcast_to(x[0], (8, 6)))))
    assert all(map(gemm.readable, (x, x.T, x[::2], x.T[:, ::2], x[:0:7], x[:1, ::2], x[::2, :1])))
    with pytest.raises(ValueError, match="transposed"):
        gemm.words(np.zeros((3, 4)), np.zeros((4, 2)), np.zeros((2, 3)).T)


@pytest.mark.parametrize(("vendor", "intel"), [("GenuineIntel", True), ("AuthenticAMD", False), ("", False)])
def test_mkl_is_used_on_processors_that_it_is_made_for(monkeypatch, vendor, intel):
    monkeypatch.setattr(gemm, "vendor", lambda: vendor)
    mkl, openblas = gemm._mkl(), gemm._openblas()
    assert gemm._large.__wrapped__() == ((mkl if intel else {}) or openblas)
    assert gemm._small.__wrapped__() == (openblas or gemm._large())


def test_small_products_are_those_of_numpys_library(monkeypatch):
    one, other = ({("gemm", np.dtype("f8")): (address, "i64")} for address in (1, 2))
    monkeypatch.setattr(gemm, "_compiled", lambda what, dtype, address, integer: address)
    monkeypatch.setattr(gemm, "_small", lambda: one)
    monkeypatch.setattr(gemm, "_large", lambda: other)
    shapes = {(20, 10, 30): 1, (200, 64, 100): 2, (400, 100, 4): 1, (400, 400, 4): 2}
    assert {(n, k, m): gemm.function(n, m, k, np.float64) for n, k, m in shapes} == shapes


def test_the_vendor_is_what_the_system_says_too():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    said = [line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")]
    if not said:
        pytest.skip("the system does not say")
    assert gemm.vendor() == said[0]


def test_an_mkl_that_is_used_otherwise_is_left_alone(monkeypatch):
    find = gemm._mkl.__wrapped__
    if not find():
        pytest.skip("MKL is not here")
    with monkeypatch.context() as patched:
        patched.setattr(gemm, "libraries", lambda: [SimpleNamespace(internal_api="mkl")])  # NumPy's own
        assert not find()
    monkeypatch.setattr(ctypes, "CDLL", lambda path: SimpleNamespace(MKL_Set_Threading_Layer=lambda layer: 3))
    assert not find()


# NumPy's loops


FUNCTIONS = [np.exp, np.exp2, np.expm1, np.log, np.log1p, np.tanh, np.sin, np.arctan, np.rint, np.power, np.logaddexp,
             np.hypot]  # fmt: skip


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loops_give_the_bits_of_numpy(function, lanes, dtype, rng):
    x = [rng.uniform(0.1, 3.0, (50, 7)).astype(dtype) for _ in range(function.nin)]
    out = np.full((50, 7), np.nan, dtype)
    found = loops.loop(function, *[np.dtype(dtype)] * (function.nin + 1))
    assert found is not None
    run, wake = new(lanes)
    run.loop(found, (*x, out), 50, 7)
    wake()
    run()
    np.testing.assert_array_equal(out, function(*x))


def test_loops_that_are_not_there():
    assert loops.loop(np.exp, np.dtype("f8"), np.dtype("f4")) is None
    assert loops.loop(np.exp, np.dtype("i8"), np.dtype("f8")) is None
    assert loops.loop(np.power, *[np.dtype("i8")] * 3) is None  # which raises an exception for negative ones
    assert loops.loop(np.exp, *[np.dtype("f8").newbyteorder()] * 2) is None
    assert loops.loop(np.matmul, *[np.dtype("f8")] * 3) is None  # of matrices


def test_what_is_not_as_expected_is_not_used(monkeypatch):
    assert loops._readable.__wrapped__(np.exp)
    assert sequence.available.__wrapped__()
    monkeypatch.setattr(loops, "_inside", lambda function: loops._Function.from_address(id(np.log) + loops._HEAD))
    assert not loops._readable.__wrapped__(np.exp)
    monkeypatch.setattr(sequence, "_HEAD", sequence._HEAD + 8)
    assert not sequence.available.__wrapped__()


# arguments


@pytest.mark.parametrize("lanes", LANES)
def test_other_arguments_in_any_layout(lanes, dtype, rng, monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    n, k, m = 11, 6, 4
    like, b, out, back = (
        np.zeros((n, k), dtype),
        rng.normal(size=(k, m)).astype(dtype),
        *[np.zeros((n, m), dtype)] * 2,
    )
    gradient = np.zeros((k, m), dtype)
    run, wake = new(lanes, 2)
    run.product(Late(0, like), b, out)
    after, _ = new(1, 2)
    after.partial(Late(0, like, True), out, (gradient,), (), ())
    after.loop(loops.loop(np.exp, out.dtype, out.dtype), (out, Late(1, back)), n, m)
    for _ in range(3):
        x = rng.normal(size=(n, k)).astype(dtype)
        for given in (*laid_out(x).values(), np.repeat(x, 2, axis=1)[:, ::2], x[::-1], x):
            made = np.full((n, m), np.nan, dtype)
            wake()
            run(given, made)
            after(given, made)
            np.testing.assert_allclose(out, given @ b, **close(dtype))
            np.testing.assert_allclose(gradient, given.T @ (given @ b), **close(dtype))
            np.testing.assert_array_equal(made, np.exp(out))


def test_an_argument_that_has_to_be_copied_is_copied_each_time(rng):
    x, out = rng.normal(size=(4, 6))[:, ::2], np.zeros((4, 3))
    run, _ = new(1, 1)
    run.loop(loops.loop(np.exp, out.dtype, out.dtype), (Late(0, np.zeros((4, 3))), out), 4, 3)
    for _ in range(3):
        run(x)
        np.testing.assert_array_equal(out, np.exp(x))
        x += 1


def test_after_an_interrupt_all_is_got_ready_anew(rng, monkeypatch):
    """In the middle of getting ready: some of it is for the new layout, some for the old one."""
    b, outs = rng.normal(size=(5, 6)), (np.zeros((4, 6)), np.zeros((4, 6)))
    run, _ = new(1, 1)
    for out in outs:
        run.product(Late(0, np.zeros((4, 5))), b, out)
    x = rng.normal(size=(4, 5))
    run(x)
    words, times = gemm.words, []
    with monkeypatch.context() as patched:

        def interrupted(*arguments):
            times.append(1)
            if len(times) == 2:
                raise KeyboardInterrupt
            return words(*arguments)

        patched.setattr(gemm, "words", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(np.asfortranarray(x))
    for given in (x, np.asfortranarray(x + 1)):
        run(given)
        for out in outs:
            np.testing.assert_allclose(out, given @ b)


def test_rows_of_each_lane():
    assert cuts(100, 3) == [(0, 33), (33, 66), (66, 100)]
    assert cuts(1, 3) == [(0, 1)]
    assert cuts(20, 3) == [(0, 10), (10, 20)]  # so few for a lane are not worth it
