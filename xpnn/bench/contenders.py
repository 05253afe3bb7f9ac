"""What is timed against each other: xpnn on each library and device, and the matrix products alone there."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from xpnn import arrays, backends
from xpnn.backends import Backend
from xpnn.bench.workload import Workload
from xpnn.compiler import together
from xpnn.compiler.blas import threads
from xpnn.compiler.parallel import on_threads
from xpnn.compiler.steps import ALONE, ENOUGH
from xpnn.compiler.together import Together
from xpnn.errors import BackendError, XpnnError
from xpnn.model import Model
from xpnn.training.step import first_state, make_step

Run = Callable[[int], Any]
"""``run(n)`` takes n steps in a row, waits for the device, and gives the last step's loss or prediction."""

Results = tuple[list[Any], list[Any], list[Any]]  # A, dA and dW of the layers

EAGER, COMPILED = "eager", "compiled"


@dataclass(frozen=True)
class Contender:
    """One way to take the steps of a workload.

    Attributes
    ----------
    program : str
        Whose code it is: ``"xpnn"``, ``"torch"``, ``"jax"``, ``"sklearn"``.
    variant : str
        What distinguishes it from others of that program.
    library, device : str
        Where its arrays are, as `xpnn.devices` names them.
    mode : {"eager", "compiled"}
    prepare : callable
        ``prepare(workload)`` puts data and parameters there and gives the `Run`.
    """

    program: str
    variant: str
    library: str
    device: str
    mode: str
    prepare: Callable[[Workload], Run] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Program and variant, for people."""
        return f"{self.program} ({self.variant})" if self.variant else self.program

    @property
    def label(self) -> str:
        """The name and the device, for sentences: no two contenders have the same."""
        return f"{self.name} on {self.device}"


class Way(NamedTuple):
    """A way in which xpnn takes its steps on a library.

    Attributes
    ----------
    mode : {"eager", "compiled"}
    compile : bool or None
        As `make_step` takes it: None is the library's usual way.
    note : str
        What distinguishes it from the usual way, if it is another.
    """

    mode: str
    compile: bool | None = None
    note: str = ""


def ways(library: str, device: str, *, predict: bool) -> list[Way]:
    """The ways in which xpnn runs on a library and device, the usual one first: each is a row."""
    if predict:
        return [Way(EAGER)]
    if library in ("numpy", "jax"):
        return [Way(COMPILED)]
    if library == "torch":  # on a CPU the steps are NumPy's, on the same memory
        return [Way(COMPILED)] if device == "cpu" else [Way(EAGER), Way(COMPILED, True, "compile=True")]
    return [Way(EAGER)]


def find(names: Iterable[str], *, predict: bool = False) -> tuple[list[Contender], list[str]]:
    """Contenders: xpnn on every kind of device of the libraries named, and a line for each name that cannot be used.

    Parameters
    ----------
    names : iterable of str
        Libraries; ``"all"`` for every one that is installed.
    predict : bool
        Whether the contenders are to predict.
    """
    found, problems = [], []
    for name in _all_named(names):
        try:
            places = devices_of(name)
        except XpnnError as error:
            problems.append(str(error))
            continue
        for device in places:
            found += [of_xpnn(name, device, way) for way in ways(name, device, predict=predict)]
    return found, problems


def devices_of(library: str) -> list[str]:
    """The usable devices of a library, the first of each kind (cpu, cuda, …), best first.

    Raises
    ------
    BackendError
        If the library is unknown or none of its devices can be used.
    """
    backend, usable = backends.get(library), dict[str, str]()
    for device in backend.device_names():
        kind = device.split(":")[0]
        if kind not in usable and backend.probe(device) is None:
            usable[kind] = device
    if not usable:
        raise BackendError(f"{library} has no device that can be used here. 'xpnn devices' says why.")
    return list(usable.values())


def of_xpnn(library: str, device: str, way: Way) -> Contender:
    """The steps of xpnn on the arrays of a library."""
    variant = f"{library}, {way.note}" if way.note else library
    prepare = functools.partial(_prepare, library, device, way.compile)
    return Contender("xpnn", variant, library, device, way.mode, prepare)


def products_alone(library: str, device: str, *, predict: bool) -> list[Contender]:
    """The matrix products of a step and nothing else, in each way in which they may take the least time."""
    if library == "numpy" and together.available() and not predict:
        each = {"one thread": 1, "all threads": threads.count()}
        prepare = {f"{library}, {name}": functools.partial(_prepare_sequence, lanes) for name, lanes in each.items()}
    else:
        prepare = {library: functools.partial(_prepare_products, library, device)}
    mode = COMPILED if library == "jax" else EAGER
    return [Contender("products", variant, library, device, mode, ready) for variant, ready in prepare.items()]


def _all_named(names: Iterable[str]) -> list[str]:
    each = [library for name in names for library in (backends.installed() if name == "all" else [name])]
    return list(dict.fromkeys(each))


def _prepare(library: str, device: str, compile: bool | None, workload: Workload) -> Run:
    backend = backends.get(library, device)
    host_x, host_y = workload.data()
    x = backends.place(host_x, workload.dtype, like=None, backend=library, device=device)
    xp = arrays.namespace(x=x)
    y = arrays.from_host(host_y, xp, dtype=arrays.default_integer(xp), device=arrays.device(x))
    params = workload.network.init(0, like=x)
    if workload.predict:
        return _predicting(Model(workload.network, params, workload.loss), x, backend)
    with backend.on(x):
        step = make_step(workload.network, workload.loss, workload.rule, xp=xp, backend=backend, compile=compile)
        state = first_state(workload.network, workload.rule, params, xp=xp)

    def taken(steps: int) -> Any:
        nonlocal state
        for _ in range(steps):
            state, loss = step(state, x, y, None)
        return loss

    def run(steps: int) -> Any:
        with backend.on(x):
            loss = backend.steps(functools.partial(taken, steps))
            backend.synchronize(loss)
        return loss

    return run


def _predicting(model: Model, x: Any, backend: Backend) -> Run:
    def run(steps: int) -> Any:
        for _ in range(steps):
            prediction = model.predict(x)
        backend.synchronize(prediction)
        return prediction

    return run


def _prepare_products(library: str, device: str, workload: Workload) -> Run:
    """The products of the workload's network with every activation left out, on arrays of the same shapes."""
    if library == "numpy" and together.available():
        return _prepare_predicting(workload)
    backend = backends.get(library, device)
    multiply = _product(library, workload)

    def placed(host: Any) -> Any:
        return backends.place(host, workload.dtype, like=None, backend=library, device=device)

    def zeros(*shapes: tuple[int, int]) -> list[Any]:
        return [placed(np.zeros(shape)) for shape in shapes]

    def step(results: Results, x: Any, W: list[Any], dz: Any) -> Results:
        A, dA, dW = map(list, results)
        for i, w in enumerate(W):
            A[i] = multiply(A[i - 1] if i else x, w, A[i])
        for i in reversed(range(len(dW))):
            dz_i = dA[i] if i < len(dA) else dz
            dW[i] = multiply((A[i - 1] if i else x).T, dz_i, dW[i])
            if i:
                dA[i - 1] = multiply(dz_i, W[i].T, dA[i - 1])
        return A, dA, dW

    if library == "jax":
        import jax

        # every product is a result, so that none is left out; donated, so that none needs new memory
        step = jax.jit(step, donate_argnums=0, keep_unused=True)
    x, W = placed(workload.data()[0]), [placed(w) for w, _ in workload.parameters()]
    dz = placed(np.random.default_rng(1).standard_normal((workload.batch, workload.sizes[-1])) / workload.batch)
    outputs = [(workload.batch, size) for size in workload.sizes[1:]]
    results: Results = zeros(*outputs), [], []
    if not workload.predict:
        results = results[0], zeros(*outputs[:-1]), zeros(*(w.shape for w in W))

    few = library == "numpy" and ALONE[0] <= workload.flops < ALONE[1]  # on one thread, as steps of this size

    def taken(steps: int) -> Any:
        nonlocal results
        for _ in range(steps):
            results = step(results, x, W, dz)
        backend.synchronize(results[0][-1] if workload.predict else results[2][0])
        return results[0][-1]

    def run(steps: int) -> Any:
        with backend.on(x):
            return threads.one(taken, steps) if few else taken(steps)

    return run


def _prepare_sequence(lanes: int, workload: Workload) -> Run:
    """The same on NumPy arrays, recorded as steps are, on so many threads."""
    W, (X, _) = tuple(w for w, _ in workload.parameters()), workload.data()
    dz = np.random.default_rng(1).standard_normal((workload.batch, workload.sizes[-1])) / workload.batch
    dz = dz.astype(workload.dtype)

    def products(xp: Any, W: tuple[Any, ...], x: Any, dz: Any) -> Any:
        A = _layers(xp, W, x)
        for i in reversed(range(len(W))):
            xp.matmul(xp.matrix_transpose(A[i]), dz)
            dz = xp.matmul(dz, xp.matrix_transpose(W[i])) if i else None
        return A[-1]

    step = Together(products, backends.get("numpy").namespace())
    step.use(lanes, tried=False)

    def taken(steps: int) -> Any:
        for _ in range(steps):
            last = step(W, X, dz)
        return last

    return functools.partial(threads.one, taken)


def _prepare_predicting(workload: Workload) -> Run:
    """Those of a prediction, recorded as predictions are."""
    W, (X, _), backend = tuple(w for w, _ in workload.parameters()), workload.data(), backends.get("numpy")
    predict = backend.forward(lambda xp, W, x: _layers(xp, W, x)[-1], backend.namespace())

    def taken(steps: int) -> Any:
        for _ in range(steps):
            last = predict(W, X)
        return last

    return lambda steps: backend.steps(functools.partial(taken, steps))


def _layers(xp: Any, W: tuple[Any, ...], x: Any) -> list[Any]:
    """The data, and the products of each layer."""
    return list(itertools.accumulate(W, xp.matmul, initial=x))


def _product(library: str, workload: Workload) -> Callable[[Any, Any, Any], Any]:
    """``product(a, b, out)``: into `out` where the library can; as steps of that size do it."""
    flops = workload.flops
    if library == "numpy" and flops >= ENOUGH:
        return _by_rows
    if library in ("numpy", "cupy", "torch"):
        matmul = importlib.import_module(library).matmul
        return lambda a, b, out: matmul(a, b, out=out)
    return lambda a, b, out: a @ b


def _by_rows(a: Any, b: Any, out: Any) -> Any:
    """The product by NumPy, each thread with its rows."""
    lanes = threads.count()
    cuts = [len(out) * i // lanes for i in range(lanes + 1)]
    on_threads([functools.partial(np.dot, a[i:j], b, out[i:j]) for i, j in itertools.pairwise(cuts)])
    return out
