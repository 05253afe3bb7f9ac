"""Epoch after epoch until the loss is acceptable, someone asks for a stop, or the epochs are over."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from xpnn import arrays, backends, random
from xpnn.backends import Backend
from xpnn.checks import Data
from xpnn.errors import TrainingDiverged, TrainingInterrupted
from xpnn.losses import Loss
from xpnn.metrics import Metric, prepared
from xpnn.model import Model
from xpnn.network import Sequential
from xpnn.optimizers import LBFGS, Optimizer
from xpnn.penalties import Penalty
from xpnn.training import lbfgs
from xpnn.training.batches import EpochLoss, Take, batches
from xpnn.training.callbacks import Callback, StopOnNaN, Training
from xpnn.training.callbacks.base import name_of
from xpnn.training.step import State, Step, first_state, make_step, predictor, value
from xpnn.typing import Array, HostArray, Namespace


class _Reached(NamedTuple):
    """What training has reached after an epoch."""

    epoch: int
    params: Array | None  # None: those drawn from the seed
    buffers: Array | None


@dataclass
class Loop:
    """One training; the attributes are what `xpnn.fit` takes, checked.

    Attributes
    ----------
    train, check : tuple of arrays
        What to train on and, if there is something, what to validate on.
    metrics : dict of str to Metric
        By their names in the history.
    state : State
        As it was after the last finished epoch.
    drawn : bool
        Whether the parameters to start from are those of the seed.
    """

    network: Sequential
    loss: Loss
    optimizer: Optimizer
    train: Data
    check: Data | None
    metrics: Mapping[str, Metric]
    epochs: int
    batch_size: int | None
    shuffle: bool
    tol: float | None
    seed: int
    drawn: bool
    compile: bool | None
    xp: Namespace
    penalty: tuple[Penalty, ...] = ()
    clip_norm: float | None = None
    clip_value: float | None = None
    callbacks: Sequence[Callback] = ()
    labels: Sequence[Any] | None = None
    history: dict[str, list[float]] = field(init=False)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        checked = ["validation_loss", *self.metrics] if self.check else []
        added = [name for callback in self.callbacks for name in callback.adds]
        self.history = {name: [] for name in ("loss", *checked, *added)}
        # of the last two epochs: the newest may turn out to have blown up
        self._reached: deque[_Reached] = deque(maxlen=2)
        self._rate = math.nan
        self._steps = 0

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        n: int = self.train[0].shape[0]
        return -(-n // min(self.batch_size or n, n))

    @cached_property
    def view(self) -> Mapping[str, Sequence[float]]:
        """The history, to be looked at."""
        return MappingProxyType(self.history)

    @cached_property
    def backend(self) -> Backend:
        """That of the data."""
        return backends.of(self.train[0])

    def run(self, params: Array) -> Model:
        """Train from these parameters, which may be written over.

        Raises
        ------
        TrainingDiverged, TrainingInterrupted
            As `xpnn.fit`.
        """
        started: list[Callback] = []
        try:
            model = self._run(params, started)
        except BaseException as error:
            how = {TrainingDiverged: "diverged", TrainingInterrupted: "interrupted"}.get(type(error), "error")
            for callback in started:
                try:
                    callback.end(self._moment(stopped=how))
                except Exception as another:  # the first error is the one to be raised
                    error.add_note(f"{name_of(callback)}.end raised as well: {another!r}")
            raise
        for callback in started:
            self._tell(callback.end, self._moment(stopped=model.stopped), model)
        return model

    def _run(self, params: Array, started: list[Callback]) -> Model:
        state = self.state = self.first(params)
        self._reached.append(self._keep(0, state))
        train = partial(self._minimise, state) if isinstance(self.optimizer, LBFGS) else self._descend(state)
        for callback in self.callbacks:
            started.append(callback)
            callback.start(self._moment())
        try:
            return self._result(train())
        except TrainingDiverged as error:
            if any(isinstance(callback, StopOnNaN) for callback in self.callbacks):
                return error.model
            raise
        except KeyboardInterrupt:
            reached = self._reached[-1]
            raise TrainingInterrupted(
                f"interrupted; this error's .model is as of epoch {reached.epoch} of {self.epochs}.",
                model=self._model(reached, "interrupted"),
                epoch=reached.epoch,
            ) from None

    # ways to train

    def _descend(self, state: State) -> Callable[[], str]:
        """Epochs of steps of the optimizer's rule; what it gives trains, and says why it stopped."""
        step = make_step(
            self.network,
            self.loss,
            self.optimizer,
            xp=self.xp,
            backend=self.backend,
            seed=self.seed,
            compile=self.compile,
            per_epoch=self.per_epoch,
            history=self.view,
            penalty=self.penalty,
            clip_norm=self.clip_norm,
            clip_value=self.clip_value,
        )
        step.rate(0)
        self._rate = step.latest_rate
        return partial(self._steps_of, step, state)

    def _steps_of(self, step: Step, state: State) -> str:
        try:
            return self._take_steps(step, state)
        finally:
            step.rest()

    def _take_steps(self, step: Step, state: State) -> str:
        stopped, watching = "", [callback for callback in self.callbacks if callback.every]
        for epoch in range(1, self.epochs + 1):
            total = self.epoch_loss()
            done = state.step
            with self.backend.steps():
                for x, y, w in self._batches(epoch):
                    state, batch_loss = step(state, x, y, w)
                    total.add(batch_loss, x, w)
                    if watching and self._batch_over(watching, epoch, state.step - done, step, state, batch_loss):
                        stopped = "callback"
                        break
            self._rate, self._steps = step.latest_rate, state.step
            self.state = step.whole(state)
            stopped = self._epoch_over(epoch, total.result(), self.state) or stopped
            if stopped:
                break
        # the last step's parameters have met no loss yet: the last batch tells whether they blew up
        params, buffers, *_ = self.state
        if not math.isfinite(last := float(self._value(params, buffers, x, y, w))):
            raise self._diverged(epoch, f"the loss became {last} after the last step")
        return stopped or "epochs"

    def _minimise(self, state: State) -> str:
        """Iterations of L-BFGS, each of which counts as an epoch."""
        assert isinstance(self.optimizer, LBFGS)
        stopped = ""

        def iteration(number: int, loss: float, reached: State) -> bool:
            nonlocal stopped
            self._steps = number
            stopped = self._epoch_over(number, loss, reached)
            return bool(stopped)

        evaluate = lbfgs.value_and_grad(
            self.network, self.loss, penalty=self.penalty, backend=self.backend, xp=self.xp, compile=self.compile
        )
        why = lbfgs.minimise(
            partial(evaluate, *self.train), state, self.optimizer, self.epochs, iteration, self.backend, self.xp
        )
        return stopped or why

    # between steps

    def _batch_over(
        self, watching: list[Callback], epoch: int, batch: int, step: Step, state: State, loss: Array
    ) -> bool:
        """Tell those who want to know; whether one of them asks for a stop."""
        due = [callback for callback in watching if batch % callback.every == 0]
        if not due:
            return False
        self._rate, self._steps = step.latest_rate, state.step

        def now() -> tuple[Array, Array | None]:
            whole = step.whole(state)
            buffers = None if whole.buffers is None else arrays.copy(whole.buffers, self.xp)
            return arrays.copy(whole.params, self.xp), buffers

        told = self._moment(epoch, batch, loss=loss, state=now)

        def model() -> Model:
            params, buffers = now()
            return self._model(_Reached(self._reached[-1].epoch, params, buffers), "error")

        answers = [self._tell(callback.batch_end, told, model) for callback in due]
        return any(answers)

    def _epoch_over(self, epoch: int, loss: float, state: State) -> str:
        """Validate, write the history, tell the callbacks; why to stop, or ``""``."""
        if not math.isfinite(loss):
            raise self._diverged(epoch, f"the loss became {loss}")
        if len(self._reached) == 2:
            self._reached.popleft()  # before another copy is made
        reached = self._keep(epoch, state)
        scores = self._scores(self._params(reached), reached.buffers)
        self.history["loss"].append(loss)
        for name, score in scores.items():
            self.history[name].append(score)
        self._reached.append(reached)
        told = self._moment(epoch, self.per_epoch, loss=loss, state=lambda: (self._params(reached), reached.buffers))
        for callback in self.callbacks:
            if callback.adds:
                figures = self._tell(callback.figures, told)
                for name in callback.adds:
                    self.history[name].append(float(figures[name]))
        answers = [self._tell(callback.epoch_end, told) for callback in self.callbacks]
        if self.tol is not None and loss <= self.tol:
            return "tol"
        return "callback" if any(answers) else ""

    def _tell(
        self, hook: Callable[[Training], Any], told: Training, model: Model | Callable[[], Model] | None = None
    ) -> Any:
        """Call a callback's hook; its error gets the model as it is now."""
        try:
            return hook(told)
        except Exception as error:
            if model is None:
                model = self._model(self._reached[-1], "error")
            with contextlib.suppress(AttributeError):  # an error may take no attributes
                error.model = model if isinstance(model, Model) else model()  # type: ignore[attr-defined]
            name = name_of(getattr(hook, "__self__", hook))  # type: ignore[arg-type]
            error.add_note(f"raised by the callback {name} in epoch {told.epoch}; its .model is the model then")
            raise

    def _scores(self, params: Array, buffers: Array | None) -> dict[str, float]:
        """The loss and the metrics on the validation data; the device is waited for once."""
        if not self.check:
            return {}
        X, y, w = self.check
        scores = {"validation_loss": self._value(params, buffers, X, y, w)}
        if self.metrics:
            prediction = self._predict((params, buffers), X)
            prediction, y = prepared(prediction, y, self.network.output_activation, self.loss, xp=self.xp)
            scores |= {name: metric(prediction, y, w, xp=self.xp) for name, metric in self.metrics.items()}
        return dict(zip(scores, self.backend.numbers(list(scores.values()), self.xp).tolist(), strict=True))

    # what training has come to

    def _moment(
        self, epoch: int = 0, batch: int = 0, *, stopped: str = "", loss: Any = math.nan, state: Any = None
    ) -> Training:
        reached = self._reached[-1]
        rising = frozenset(name for name, metric in self.metrics.items() if metric.larger_is_better)
        return Training(
            network=self.network,
            epoch=epoch or reached.epoch,
            epochs=self.epochs,
            batch=batch,
            batches=self.per_epoch,
            step=self._steps,
            history=self.view,
            learning_rate=self._rate,
            larger_is_better=rising,
            stopped=stopped,
            _loss=loss,
            _state=state or (lambda: (self._params(reached), reached.buffers)),
        )

    def _result(self, stopped: str) -> Model:
        """The model, with the parameters that a callback wants restored, if one does."""
        model = self._model(self._reached[-1], stopped)
        for callback in self.callbacks:
            best = callback.restored
            if best is not None and best.epoch < self._reached[-1].epoch:
                return replace(model, params=best.params, buffers=best.buffers)
        return model

    def _model(self, reached: _Reached, stopped: str) -> Model:
        kept = {name: values[: reached.epoch] for name, values in self.history.items()}
        return Model(
            self.network,
            self._params(reached),
            self.loss,
            kept,
            labels=self.labels,
            stopped=stopped,
            buffers=reached.buffers,
        )

    def _diverged(self, epoch: int, what: str) -> TrainingDiverged:
        # the last step of an epoch may be the one that blew up: the newest parameters with a finite loss are kept
        reached = list(self._reached)
        finite = (
            each
            for each in reversed(reached)
            if math.isfinite(float(self._value(self._params(each), each.buffers, *self.train)))
        )
        good = next(finite, reached[0])
        rate = getattr(self.optimizer, "learning_rate", None)
        advice = "Standardise" if rate is None else f"Use a smaller learning rate (now {rate}) or standardise"
        return TrainingDiverged(
            f"{what} in epoch {epoch}; the last good parameters, those after epoch {good.epoch}, are in this "
            f"error's .model. {advice} the features.",
            model=self._model(good, "diverged"),
            epoch=epoch,
        )

    def _keep(self, epoch: int, state: State) -> _Reached:
        """A copy, because the next step may write over the state; after the last there is none."""
        if epoch == self.epochs:
            return _Reached(epoch, state.params, state.buffers)
        buffers = None if state.buffers is None else arrays.copy(state.buffers, self.xp)
        again = self.drawn and epoch == 0
        return _Reached(epoch, None if again else arrays.copy(state.params, self.xp), buffers)

    def _params(self, reached: _Reached) -> Array:
        if reached.params is None:
            return self.network.init(self.seed, like=self.train[0])
        return reached.params

    # what it computes with

    @cached_property
    def _value(self) -> Callable[..., Array]:
        return value(self.network, self.loss, self.backend, self.xp)

    @cached_property
    def _predict(self) -> Callable[..., Array]:
        return predictor(self.network, self.backend, self.xp)

    @cached_property
    def _take(self) -> Take:
        return self.backend.gather(self.xp)

    def first(self, params: Array) -> State:
        """The state to start from."""
        return first_state(self.network, self.optimizer, params, xp=self.xp)

    def epoch_loss(self) -> EpochLoss:
        """What puts the losses of an epoch's batches together."""
        return EpochLoss(mean=self.loss.reduction == "mean", xp=self.xp, backend=self.backend)

    def order(self, epoch: int) -> HostArray | None:
        """The rows of an epoch in their order; None: as they are."""
        if not self.shuffle or self.per_epoch == 1:
            return None
        return random.data_order(self.train[0].shape[0], self.seed, epoch)

    def _batches(self, epoch: int) -> Iterator[Data]:
        return batches(
            *self.train,
            size=self.batch_size,
            order=self.order(epoch),
            xp=self.xp,
            views=self.backend.views,
            take=self._take,
        )
