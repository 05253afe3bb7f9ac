"""Which calls lanes may do without waiting for each other: no lane may need what another has just done."""

from types import SimpleNamespace

import numpy as np
import pytest

import xpnn
from xpnn import backends
from xpnn.compiler import blas, gemm, planner, sequence, team, together
from xpnn.compiler import steps as stepping
from xpnn.compiler.recording import Value
from xpnn.compiler.regions import AHEAD, ALL, FIRST, PARTIAL, Access, Region, Work, arrange, spread
from xpnn.compiler.team import Team
from xpnn.compiler.together import Together

from .cases import ACTIVATIONS, OPTIMIZERS
from .test_compiler import assert_same, assert_same_training, steps

xp = backends.get("numpy").namespace()

A, B, C = (Value(np.zeros(100)) for _ in range(3))
ROWS, OTHER = (0, 8, 10), (0, 16, 5)


def work(*accesses, how="kernel", cost=2.0):
    return Work([], how, None, [Access(*each) for each in accesses], cost)


def reads(home, how=ROWS, start=0, stop=80):
    return home, start, stop, how, False


def writes(home, how=ROWS, start=0, stop=80):
    return home, start, stop, how, True


def order(works, lanes=4):
    """The numbers of the works, those of a region together."""
    numbers = {id(each): i for i, each in enumerate(works)}
    found = arrange(works, lanes)
    return [[numbers[id(w)] for w in each.works] if isinstance(each, Region) else numbers[id(each)] for each in found]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (writes(A), reads(A), True),  # each lane its own rows
        (reads(A, ALL), reads(A), True),  # nobody writes
        (writes(A), reads(B, ALL), True),
        (writes(A), reads(A, ALL), False),
        (reads(A, ALL), writes(A), False),
        (writes(A), writes(A, OTHER), False),  # other rows
        (reads(A), writes(A, OTHER), False),
        (writes(A, FIRST), reads(A, FIRST), True),
        (writes(A, FIRST), reads(A), False),
        (writes(A, PARTIAL), reads(A, PARTIAL), False),  # of which no lane has all
        (writes(A, ALL), reads(A, ALL), False),
        (writes(A, ROWS, 0, 40), reads(A, ALL, 40, 80), True),  # another part of the memory
        (writes(A, ROWS, 0, 48), reads(A, ALL, 40, 80), False),
    ],
)
def test_two_works_are_together_if_no_lane_needs_what_another_does(one, other, together):
    assert order([work(one), work(other)]) == ([[0, 1]] if together else [[0], [1]])


def test_what_python_does_is_done_before_or_after():
    python = work(reads(B, ALL), how="")
    assert order([work(writes(A)), python, work(reads(A), writes(C))]) == [1, [0, 2]]
    assert order([work(writes(B)), python, work(reads(B), writes(C))]) == [[0, 2], 1]
    assert order([work(writes(B)), python, work(writes(B))]) == [[0], 1, [2]]


def test_a_work_does_not_overtake_one_that_it_needs():
    works = [work(writes(A)), work(reads(A, ALL), writes(B)), work(reads(B), writes(C)), work(reads(A))]
    assert order(works) == [[0, 3], [1, 2]]


def test_lanes_are_as_many_as_are_worth_it():
    works = [work(writes(A), cost=1.4), work(writes(B), cost=1.7), work(reads(A, ALL), cost=0.2)]
    assert [each.lanes for each in arrange(works, 8)] == [3, 1]
    assert [each.lanes for each in arrange(works, 2)] == [2, 1]


def test_regions_of_one_lane_are_one():
    assert order([work(writes(A), cost=0.1), work(reads(A, ALL), cost=0.1)]) == [[0, 1]]


@pytest.mark.parametrize("seed", range(30))
def test_any_works_keep_their_order_where_it_matters(seed):
    """Of each pair that touches the same memory, one at least writing, in every arrangement."""
    rng = np.random.default_rng(seed)
    works = []
    for _ in range(25):
        accesses = []
        for _ in range(rng.integers(1, 4)):
            start = int(rng.integers(0, 8)) * 8
            how = [ALL, FIRST, PARTIAL, ROWS, ROWS, OTHER][rng.integers(0, 6)]
            accesses.append(((A, B, C)[rng.integers(0, 3)], start, start + 16, how, bool(rng.random() < 0.3)))
        works.append(work(*accesses, how="kernel" if rng.random() < 0.8 else "", cost=float(rng.uniform(0, 2))))
    found = arrange(works, 4)
    place = {}
    for i, each in enumerate(found):
        for j, member in enumerate(each.works if isinstance(each, Region) else [each]):
            place[id(member)] = (i, j)
    assert len(place) == len(works)
    for i, one in enumerate(works):
        for other in works[i + 1 :]:
            meeting = [(a, b) for a in one.accesses for b in other.accesses if a.home is b.home and a.meets(b)]
            if not meeting:
                continue
            assert place[id(one)] < place[id(other)]
            region = found[place[id(one)][0]]
            if place[id(one)][0] == place[id(other)][0] and region.lanes > 1:
                assert all(a.apart(b) for a, b in meeting)


# steps


@pytest.fixture
def sources(monkeypatch):
    """The sources of what is recorded from now on."""
    from xpnn.compiler import emit

    found, write = [], emit.Emitter._write
    monkeypatch.setattr(emit.Emitter, "_write", lambda self: found.append(write(self)) or found[-1])
    return found


@pytest.mark.skipif(not gemm.available(), reason="no LLVM, or no library to call products of")
@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "binary_crossentropy"), ("linear", "mean_squared_error")])
def test_a_small_step_is_one_call(rng, sources, output, loss):
    X, y = rng.normal(size=(64, 2)), rng.integers(0, 2, (64, 1)).astype(float)
    xpnn.fit(xpnn.mlp([2, 4, 1], output=output), X, y, loss=loss, optimizer=xpnn.Adam(), epochs=1)
    run = sources[0].split("def run(")[1].split("def fits")[0].splitlines()
    calls = [line.strip() for line in run if "region" in line]
    assert len(calls) == 1
    assert not any(name in line for line in run for name in ("dot(", "out=", "_reduce"))


BYTES = Value(np.zeros((10, 8), np.int8))  # as ROWS, in a slot


@pytest.mark.parametrize(
    ("regions_", "spreads"),
    [
        ([(2, [writes(BYTES), reads(BYTES)]), (2, [reads(BYTES)])], True),
        ([(2, [writes(BYTES), reads(BYTES, (3, 8, 10))])], True),  # some columns
        ([(2, [writes(BYTES)]), (2, [reads(BYTES, ALL)])], False),
        ([(2, [writes(BYTES)]), (2, [reads(BYTES, FIRST)])], False),
        ([(2, [writes(BYTES)]), (2, [reads(BYTES, (0, 16, 5))])], False),  # the same memory in other rows
        ([(2, [writes(BYTES, (8, 8, 9))])], False),  # not all rows
        ([(2, [writes(BYTES)]), (3, [reads(BYTES)])], False),  # shared out in another way
        ([(1, [writes(BYTES), reads(BYTES)])], False),
    ],
)
def test_rows_that_one_lane_alone_touches_lie_apart(regions_, spreads, monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    found = spread([Region([work(*accesses)], lanes) for lanes, accesses in regions_], {BYTES: 7}, set())
    assert found == ({7: (2, 8 * AHEAD[0])} if spreads else {})


def test_what_python_touches_is_not_spread(monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    region = Region([work(writes(BYTES))], 2)
    assert not spread([region, work(reads(BYTES, ALL), how="")], {BYTES: 7}, set())


def test_what_is_joined_is_not_spread(monkeypatch):
    monkeypatch.setattr(sequence, "ROWS", 1)
    region = Region([work(writes(BYTES)), work(reads(BYTES))], 2)
    assert spread([region], {BYTES: 7}, set())
    assert not spread([region], {BYTES: 7}, {BYTES})


needs_lanes = pytest.mark.skipif(not (gemm.available() and team.available()), reason="no products or no teams")


@pytest.fixture
def shared(monkeypatch):
    """Lets every call be shared out among so many lanes."""

    def use(lanes):
        monkeypatch.setattr(blas.threads, "count", lambda: lanes)
        monkeypatch.setattr(stepping, "ALONE", (0, 0))
        monkeypatch.setattr(stepping, "WORTH", 0)
        monkeypatch.setattr(sequence, "ROWS", 1)
        for name in ("PART", "CHAIN"):
            monkeypatch.setattr(planner, name, 1)

    return use


@pytest.fixture
def one_after_the_other(monkeypatch):
    """Lets one thread do all lanes of a region, the last first if it is told so."""
    wake, table = Team.wake, Team.table
    monkeypatch.setattr(Team, "wake", lambda self, others=True: wake(self, False))

    def backwards():
        monkeypatch.setattr(Team, "table", lambda self, keep, f, parts: table(self, keep, f, parts[::-1]))

    return backwards


@needs_lanes
@pytest.mark.parametrize("rows", [200, 40])
def test_lanes_wait_for_each_other_once_in_a_step(rows, rng, sources, shared, monkeypatch):
    """When all rows have gone forward and back; then gradients are added up, or made, and the parameters updated."""
    shared(2)
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: False))
    X, y = rng.normal(size=(rows, 64)), rng.integers(0, 10, rows)
    network = xpnn.mlp([64, 100, 50, 10], output="softmax")
    xpnn.fit(network, X, y, loss="categorical_crossentropy", optimizer=xpnn.Adam(), epochs=1)
    assert sources[0].count("Sequence(team, 2") == 2
    assert "spread" in sources[0]


@needs_lanes
def test_what_another_lane_still_reads_is_not_written_over(rng, shared, one_after_the_other):
    def function(xp, state, x):
        (W,) = state
        p = xp.abs(x) + 1.0
        q = xp.matmul(W, p)  # every lane reads all of p
        return xp.sum(xp.exp(p * q), axis=0)  # the product of each element could lie where p does

    shared(2)
    W, x = rng.normal(size=(40, 40)) / 40, rng.normal(size=(40, 7))
    p = abs(x) + 1
    for backwards in (False, True):
        if backwards:
            one_after_the_other()
        compiled = Together(function, xp)
        compiled.use(2)
        np.testing.assert_allclose(compiled((W,), x), np.exp(p * (W @ p)).sum(0), rtol=1e-12)


@needs_lanes
@pytest.mark.parametrize("backwards", [False, True])
def test_sums_of_products_of_what_each_lane_has_made(backwards, rng, shared, one_after_the_other):
    def function(xp, state, x):
        (w,) = state
        u = xp.exp(xp.reshape(xp.matmul(x, w), (-1,)))  # a number for each row
        return xp.matmul(u, u), xp.vecdot(xp.exp(-u), u)

    shared(2)
    one_after_the_other()
    w, x = rng.normal(size=(7, 1)) / 7, rng.normal(size=(400, 7))
    compiled = Together(function, xp)
    compiled.use(2)
    np.testing.assert_allclose(compiled((w,), x), function(np, (w,), x), rtol=1e-12)


@needs_lanes
@pytest.mark.parametrize("streams", [False, True], ids=["in caches", "streamed"])
@pytest.mark.parametrize("lanes", [2, 3, 5])
def test_a_vector_of_one_part_is_shared_out_as_that_is(lanes, streams, rng, shared, one_after_the_other, monkeypatch):
    """Its elements by rows of the part, whatever else is done with them."""

    def function(xp, state, x, d):
        (p,) = state
        g = xp.concat([xp.reshape(xp.matmul(xp.matrix_transpose(x), d), (-1,))])
        u = g * 0.5
        p -= xp.exp(u) * 2.0 + u
        return xp.vecdot(g, g)

    shared(lanes)
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: streams))
    monkeypatch.setattr(together, "FEW", 0)
    x, d, results = rng.normal(size=(400, 33)) / 20, rng.normal(size=(400, 3)) / 20, []
    for backwards in (None, False, True):
        if backwards:
            one_after_the_other()
        compiled, p = Together(function, xp), np.zeros(99)
        if backwards is not None:
            compiled.use(lanes)
        results.append((compiled((p,), x, d), p))
    for total, p in results[1:]:
        np.testing.assert_allclose(total, results[0][0], rtol=1e-12)
        np.testing.assert_allclose(p, results[0][1], rtol=1e-12)


@needs_lanes
@pytest.mark.parametrize("streams", [False, True], ids=["in caches", "streamed"])
@pytest.mark.parametrize("offset", [0, 1, 2, 4, 7])
def test_a_state_that_lies_anywhere_in_memory(offset, streams, rng, shared, monkeypatch):
    def function(xp, state, x):
        (w,) = state
        g = xp.matmul(xp.matrix_transpose(x), xp.matmul(x, w))
        flat = xp.reshape(w, (-1,))
        flat -= xp.reshape(g, (-1,)) * 1e-3
        return xp.sum(g)

    shared(2)
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: streams))
    memory, x = np.full(7 * 7 * 4 + 64, 7, np.uint8), rng.normal(size=(64, 7)).astype("f4")
    w = memory[offset : offset + 7 * 7 * 4].view("f4").reshape(7, 7)
    w[...] = rng.normal(size=(7, 7))
    expected = w.copy()
    function(np, (expected,), x)
    compiled = Together(function, xp)
    compiled.use(2)
    compiled((w,), x)
    np.testing.assert_allclose(w, expected, rtol=1e-5)
    assert (memory[:offset] == 7).all()
    assert (memory[offset + 7 * 7 * 4 :] == 7).all()


W, P = np.arange(12.0).reshape(3, 4) / 7, np.linspace(-1, 1, 20).reshape(5, 4)


def in_place(xp, state, x):
    x *= 2.0  # of the caller's array, as NumPy does
    x += 1.0
    return xp.sum(x, axis=0)


@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]]
)
@pytest.mark.parametrize(
    "function",
    [
        lambda xp, state, x: x.T,
        lambda xp, state, x: (x + 1).T,
        lambda xp, state, x: xp.exp(x)[1:, 0],
        lambda xp, state, x: xp.matmul(x, state[0])[0],
        lambda xp, state, x: xp.reshape(xp.matmul(x, state[0]), (-1,)),
        lambda xp, state, x: (y := x * 2.0, y, y[0]),
        lambda xp, state, x: (x, state[1].T, x),
        lambda xp, state, x: (xp.exp(xp.matmul(x, state[0])), x * 2.0),  # a factor, and an operand of a chain
        lambda xp, state, x: xp.matmul(state[1].T, x),  # on the right
        lambda xp, state, x: xp.matmul((x * 2.0)[:, ::2], state[0][:2]),
        lambda xp, state, x: xp.matmul(x.T, xp.matmul(x, state[0])),
        lambda xp, state, x: (xp.sum(x, axis=-2), xp.sum(x, axis=-1, keepdims=True), xp.sum(x), xp.sum(x[:, 0])),
        lambda xp, state, x: (xp.sum(x * 1.0, axis=-2), xp.sum(x * 1.0, axis=0, keepdims=True), xp.sum(x * 1.0)),
        lambda xp, state, x: xp.where(x > 0, xp.log1p(xp.abs(x)), xp.sum(state[1], axis=1, keepdims=True)),
        in_place,
    ],
)
def test_what_a_function_may_take_and_give(function, layout):
    """Views of what is given and of what is made, the same twice, arrays in any layout."""
    state, compiled = (W.copy(), P.copy()), Together(function, xp)
    x = np.linspace(-2, 3, 15).reshape(5, 3)
    for scale in (1.0, 2.0, 3.0):
        given, twin = layout(x * scale), layout(x * scale)
        assert_same(compiled(state, given), function(xp, state, twin))
        np.testing.assert_array_equal(given, twin)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sums_of_numbers_whose_bytes_are_in_another_order(order, rng):
    """A part of somebody's own may hold such an array."""
    x, held = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)).astype(f"{order}f8")

    def function(xp, state, x):
        return xp.sum(held, axis=0) + xp.sum(x * 1.0, axis=0), xp.sum(held * x), xp.exp(held) @ x.T, held @ x.T

    for ours, expected in zip(Together(function, xp)((), x), function(xp, (), x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


@needs_lanes
@pytest.mark.parametrize("streams", [False, True], ids=["in caches", "streamed"])
@pytest.mark.parametrize("seed", range(40))
def test_no_lane_needs_what_another_has_just_done(seed, streams, shared, one_after_the_other, monkeypatch):
    """Then it makes no difference which one comes first, not in the last bit."""
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: streams))
    monkeypatch.setattr(together, "FEW", 0)
    rng = np.random.default_rng(seed)
    lanes, dtype = int(rng.integers(2, 5)), ("float32", "float64")[seed % 2]
    shared(lanes)
    layers: list[xpnn.Layer] = []
    for units in rng.choice([2, 5, 17, 40], rng.integers(0, 4)):
        layers.append(xpnn.Dense(int(units), list(ACTIVATIONS.values())[rng.integers(len(ACTIVATIONS))]))
        if rng.random() < 0.25:
            layers.append((xpnn.BatchNormalization(), xpnn.LayerNormalization(), xpnn.Dropout(0.3))[rng.integers(3)])
    output, loss = [
        ("softmax", xpnn.CategoricalCrossentropy()), ("linear", xpnn.Huber()), ("sigmoid", xpnn.BinaryCrossentropy())
    ][rng.integers(3)]  # fmt: skip
    k = int(rng.choice([2, 3, 40]))
    network = xpnn.Sequential(*layers, xpnn.Dense(k, output), input_shape=[5])
    optimizer = list(OPTIMIZERS.values())[rng.integers(len(OPTIMIZERS))]
    options = [{}, {"clip_norm": 0.1}, {"penalty": (xpnn.L2(0.1),)}][rng.integers(3)]
    batches = [
        (rng.normal(size=(n, 5)).astype(dtype), np.eye(k, dtype=dtype)[rng.integers(0, k, n)],
         rng.uniform(0.5, 2.0, n).astype(dtype) if seed % 3 == 0 else None)
        for n in (64, 64, 33)
    ]  # fmt: skip
    forwards = steps(network, loss, optimizer, batches, **options)
    one_after_the_other()
    backwards = steps(network, loss, optimizer, batches, **options)
    np.testing.assert_array_equal(forwards[1], backwards[1])
    for one, other in zip(
        (forwards[0].params, *forwards[0].moments), (backwards[0].params, *backwards[0].moments), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    sgd = xpnn.SGD(0.01)  # by others, gradients that are 0 but for rounding move parameters as far as any
    ours, expected = (steps(network, loss, sgd, batches, compile=c, **options) for c in (None, False))
    assert_same_training(ours, expected, dtype)
