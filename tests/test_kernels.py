"""Machine code for chains of element-wise calls must do what NumPy does, to the bit."""

import gc
import platform
import weakref

import numpy as np
import pytest

import xpnn
from xpnn import backends
from xpnn.compiler import Compiled, gemm, kernels, llvm
from xpnn.compiler.chains import Chain
from xpnn.compiler.record import record

from .test_compiler import assert_same

xp = backends.get("numpy").namespace()
needs_llvm = pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed")
needs_gemm = pytest.mark.skipif(not gemm.available(), reason="there is no library to call products of")


def each_by_each(xp, state, x, n):
    p, q, mask, counts = state
    a = (1.5 - p) * q + p / (q * q + 1.0) - (-p)
    a = xp.abs(a) ** 0.5 + xp.maximum(p, q) - xp.minimum(p, 0.25) * n
    b = xp.where(a > q, a, -a) + xp.where(mask, 1.0, p)
    c = xp.astype((a >= 0) & ~(q < p) | (p <= q) ^ (a == b), p.dtype) + xp.astype(p != q, p.dtype)
    hashed = ((counts * 3 - 7) ^ (counts >> 3)) & 255
    d = xp.astype(hashed, p.dtype) + xp.astype(counts > 2, p.dtype) + xp.astype(counts << 2, p.dtype)
    p += (b * c - d) * 0.125
    return p, xp.sum(b), x


def across_columns(xp, state, x, n):
    """Row vectors, columns and whole matrices."""
    p, q, *_ = state
    row, column = xp.sum(abs(q), axis=0) * 0.01, xp.sum(abs(q), axis=1, keepdims=True)
    z = p * row
    z += row - column
    z = xp.maximum(z, column) * (column + n) + q
    p -= z * 0.5
    return p, x


def along_rows(xp, state, x, n):
    """Sums of rows within a chain, used by it again."""
    p, q, *_ = state
    z = p - xp.max(p, axis=1, keepdims=True)
    total = xp.sum(abs(z * q), axis=1, keepdims=True)
    a = z / (total + 1.0)
    least = xp.min(a, axis=-1, keepdims=True)
    p += a - least + total * 0.01 * n
    return p, xp.sum(least), x


FORMULAS = [each_by_each, across_columns, along_rows]


def arguments(rng, dtype, shape):
    p, q = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    q.flat[0] = p.flat[0]
    return (p, q, rng.random(shape) > 0.5, rng.integers(-9, 9, shape).astype(np.int32)), np.ones(1, dtype)


@needs_llvm
@pytest.mark.parametrize("shape", [(7, 4), (65, 32), (40, 1), (2, 33), (64, 64), (16, 32), (27, 19)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", FORMULAS, ids=lambda f: f.__name__)
def test_kernels_give_what_numpy_gives(function, dtype, shape, rng, monkeypatch):
    state, x = arguments(rng, dtype, shape)
    results = []
    for here in (True, False):
        monkeypatch.setattr(llvm, "available", lambda here=here: here)
        compiled = Compiled(function, xp)
        copies = [tuple(each.copy() for each in state) for _ in range(2)]
        compiled(copies[0], x, 3)
        results.append(compiled(copies[1], x, 3))
        (program,) = compiled.programs.values()
        assert ("kernel" in program.source) == here
    plain = function(xp, tuple(each.copy() for each in state), x, 3)
    assert_same(results[0], plain)
    if function is each_by_each:
        np.testing.assert_array_equal(results[0][0], results[1][0])  # to the bit


@needs_llvm
def test_what_is_not_a_number_passes_through_as_it_does_in_numpy(rng):
    (p, q, mask, counts), x = arguments(rng, "float32", (9, 5))
    p[0], p[1], q[2] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        ours = Compiled(each_by_each, xp)((p.copy(), q, mask, counts), x, 3)
        expected = each_by_each(xp, (p.copy(), q, mask, counts), x, 3)
    np.testing.assert_array_equal(ours[0], expected[0])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="a mode of x86 processors")
@needs_llvm
def test_numbers_too_small_for_a_normal_exponent_are_nothing_in_kernels_and_there_alone(dtype):
    def decayed(xp, state, x):
        (p,) = state
        p *= 0.9
        p += x * 0.0
        return p

    smallest = np.finfo(dtype).smallest_subnormal
    p = np.full(9, 5 * smallest, dtype)
    assert (0.9 * p == p).any() or (0.9 * p > 0).all()  # by NumPy they never get to 0
    Compiled(decayed, xp)((p,), np.zeros(9, dtype))
    np.testing.assert_array_equal(p, 0)
    assert np.full(9, smallest, dtype).sum() > 0  # the thread is as it was before


@needs_llvm
def test_what_lives_within_a_chain_has_no_memory(rng):
    def chained(xp, state, x):
        (p,) = state
        for _ in range(20):
            p = p * 1.01 + 0.5
        return xp.sum(p)

    def memory(function):
        compiled = Compiled(function, xp)
        compiled((np.ones((100, 100)),), np.ones(1))
        return sum(each.nbytes for each in compiled._memory.values())

    assert memory(chained) == 80_000  # what is summed up


@needs_llvm
def test_equal_chains_are_compiled_once():
    def twice(xp, state, x):
        (p,) = state
        a = x @ p
        a = xp.maximum(a * 2.0, 0.5)
        b = a @ p
        b = xp.maximum(b * 2.0, 0.5)
        return xp.sum(b)

    before = llvm.compiled.cache_info().misses
    Compiled(twice, xp)((np.ones((4, 4)),), np.ones((6, 4)))
    Compiled(twice, xp)((np.ones((4, 4)),), np.ones((8, 4)))
    assert llvm.compiled.cache_info().misses <= before + 1


def chain_of(function, *arrays):
    """Of the recorded calls, those that one chain takes."""
    recording = record(function, xp, (arrays,))
    chain = Chain(lambda value: True)
    return [chain.add(call) for call in recording.calls if call.kind != "view"]


def test_a_chain_takes_no_call_that_reads_other_rows_or_other_kinds():
    p = np.ones((4, 4))
    assert chain_of(lambda xp, state: state[0] * 2.0 + 1.0, p) == [True, True]

    def reversed_rows(xp, state):
        z = state[0] * 2.0
        return z + z[::-1, :]

    def other_rows_written(xp, state):
        (p,) = state
        q = p * 2.0
        p += q[0:1, :]
        return p

    def a_view_of_what_is_written(xp, state):
        (p,) = state
        p += 1.0
        return xp.reshape(p, (-1, 4)) * 2.0

    for function in (reversed_rows, other_rows_written, a_view_of_what_is_written):
        assert chain_of(function, p) == [True, False]
    assert chain_of(lambda xp, state: xp.exp(state[0]), p) == [False]
    assert chain_of(lambda xp, state: state[0] + state[1], p, np.ones((4, 4), np.float32)) == [False]
    assert chain_of(lambda xp, state: xp.sum(state[0], axis=1, keepdims=True), np.ones((4, 40))) == [False]
    assert chain_of(lambda xp, state: state[0] >> 32, np.ones((4, 4), np.int32)) == [False]
    assert chain_of(lambda xp, state: state[0] < 2**31, np.ones((4, 4), np.int32)) == [False]
    assert chain_of(lambda xp, state: state[0].T * 2.0, p) == [False]


@needs_llvm
def test_a_table_wants_memory_in_one_piece():
    with pytest.raises(AssertionError):
        kernels.table([], (np.ones((4, 4)).T,), 0, 4, 4)


def test_without_llvm_there_is_no_machine_code(monkeypatch, rng):
    monkeypatch.setattr(llvm, "available", lambda: False)
    state, x = arguments(rng, "float64", (6, 3))
    compiled = Compiled(along_rows, xp)
    compiled(tuple(each.copy() for each in state), x, 3)
    (program,) = compiled.programs.values()
    assert "kernel" not in program.source


def joined_and_read(xp, state, x):
    u = x @ state[0]
    z = xp.concat([u * 0.2, u * 0.3])
    return xp.tanh(z[0 : u.shape[0], :] + 1.0)


def other_rows_of_what_is_viewed(xp, state, x):
    z = x @ state[0]
    a = z - z[0:1, :]
    t = xp.tanh(a * 0.5)
    return xp.tanh(a * t)


@pytest.mark.parametrize("width", [3, 300])
@pytest.mark.parametrize("function", [joined_and_read, other_rows_of_what_is_viewed], ids=lambda f: f.__name__)
def test_no_kernel_reads_memory_before_or_after_its_time(function, width, rng):
    compiled, W = Compiled(function, xp), rng.normal(size=(5, width))
    for _ in range(3):  # new numbers each time: old ones would not be seen otherwise
        x = rng.normal(size=(8, 5))
        np.testing.assert_allclose(compiled((W,), x), function(xp, (W,), x), rtol=1e-12)


def test_the_sum_of_a_row_of_one_is_kept_where_it_is_needed_later():
    def function(xp, state, x):
        (p,) = state
        r = xp.max(p, axis=1, keepdims=True)
        t = xp.tanh(x * r)
        return xp.tanh(t * r)

    compiled, x = Compiled(function, xp), np.ones((6, 1))
    for number in (3.0, -2.0):
        p = np.full((1, 1), number)
        np.testing.assert_allclose(compiled((p,), x), function(xp, (p,), x), rtol=1e-12)


def test_empty_arrays_are_no_fault():
    def function(xp, state, x):
        (p,) = state
        p *= 2.0
        return xp.sum(p, axis=1, keepdims=True) + 1.0, p, x

    assert_same(Compiled(function, xp)((np.ones((3, 0)),), np.ones(1)), function(xp, (np.ones((3, 0)),), np.ones(1)))


def add(xp, state, x):
    (p,) = state
    q = p * 2.0 + 1.0
    p += q * x
    return p, xp.sum(q)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.astype(np.float32),
        lambda p: p[:5].copy(),
        lambda p: np.repeat(p, 2)[::2],
        lambda p: p.astype(">f8"),
    ],
    ids=["another dtype", "another length", "strided", "another byte order"],
)
def test_a_state_of_another_kind_is_taken_as_it_is(make, rng):
    compiled, p, x = Compiled(add, xp), rng.normal(size=8), np.ones(1)
    for state in (p, make(p), p, make(p)):
        ours, expected = compiled((state.copy("K"),), x), add(xp, (state.copy("K"),), x)
        np.testing.assert_allclose(ours[0], expected[0], rtol=1e-6)
        assert ours[1] == pytest.approx(expected[1], rel=1e-6)


def test_a_state_that_is_read_only_is_not_written_to(rng):
    compiled, p = Compiled(add, xp), rng.normal(size=8)
    compiled((p.copy(),), np.ones(1))
    kept = p.copy()
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        compiled((p,), np.ones(1))
    np.testing.assert_array_equal(p, kept)


def test_what_llvm_does_not_take_numpy_does(monkeypatch, rng):
    def refuse(text, *arguments):
        raise llvm.CannotCompile("no")

    monkeypatch.setattr(kernels, "compiled", refuse)
    state, x = arguments(rng, "float64", (6, 3))
    compiled = Compiled(along_rows, xp)
    ours = compiled(tuple(each.copy() for each in state), x, 3)
    assert_same(ours, along_rows(xp, tuple(each.copy() for each in state), x, 3))
    (program,) = compiled.programs.values()
    assert "kernel" not in program.source


@needs_llvm
def test_text_that_is_wrong_is_refused_and_brings_nothing_down(monkeypatch):
    with pytest.raises(llvm.CannotCompile):
        llvm.compiled("define void @kernel() {")
    with pytest.raises(llvm.CannotCompile, match="dominate"):
        llvm.compiled(
            "define i64 @kernel(i1 %c) {\nbr i1 %c, label %a, label %b\na:\n%x = add i64 1, 1\nbr label %b\n"
            "b:\nret i64 %x\n}\n"
        )


@needs_llvm
def test_an_llvm_that_is_too_old_is_not_used(monkeypatch):
    monkeypatch.setattr(llvm, "OLDEST", 10**6)
    assert not llvm.available.__wrapped__()


@needs_llvm
def test_networks_of_other_widths_need_no_other_machine_code(rng):
    """But where the numbers of a row are kept: it costs ten times what recording a step does."""
    X, y = rng.normal(size=(50, 6)), rng.integers(0, 3, 50)
    compiled = []
    for hidden in (24, 33, 50):
        xpnn.fit(xpnn.mlp([6, hidden, 3], output="softmax"), X, y, optimizer=xpnn.Adam(0.01), epochs=2)
        compiled.append(llvm.compiled.cache_info().misses)
    assert compiled[0] == compiled[1] == compiled[2] > 0


@needs_llvm
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arithmetic_of_single_numbers_is_one_kernel(rng, dtype):
    """A penalty is some five calls of it, a quarter of the step of a small network."""

    def penalised(xp, state, x):
        v, w = state
        cost = 0.3 * (0.5 * xp.vecdot(v, v) + 0.5 * xp.vecdot(w, w))
        return xp.sum(x) + cost

    state, x = tuple(rng.normal(size=(2, 9)).astype(dtype)), rng.normal(size=(4, 3)).astype(dtype)
    compiled = Compiled(penalised, xp)
    for factor in (1.0, 3.0):  # the same arrays with other numbers
        for each in state:
            each *= each.dtype.type(factor)
        assert_same(compiled(state, x), penalised(xp, state, x))
    (program,) = compiled.programs.values()
    assert program.source.count("kernel(") == 1
    assert "multiply(" not in program.source
    assert "vecdot(" not in program.source


def test_vecdot_of_more_than_vectors_is_as_it_is(rng):
    def rows(xp, state, x, y):
        return xp.vecdot(x, y), xp.vecdot(x, y, axis=0), xp.vecdot(x[0, ...], y[:, 0][:3])

    x, y = rng.normal(size=(2, 3, 3))
    compiled = Compiled(rows, xp)
    for _ in range(2):
        assert_same(compiled((), x, y), rows(xp, (), x, y))


@needs_gemm
@pytest.mark.parametrize("n", [100, 3000])
def test_a_prediction_does_not_keep_its_data_alive(rng, n):
    X = rng.normal(size=(n, 300))
    network = xpnn.mlp([300, 300, 5])
    model = xpnn.Model(network, network.init(0, like=X), "mean_squared_error")
    model.predict(X)
    model.predict(X)
    alive = weakref.ref(X)
    del X
    gc.collect()
    assert alive() is None
