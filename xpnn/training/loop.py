"""Epoch after epoch until the loss is acceptable, someone asks for a stop, or the epochs are over."""

from __future__ import annotations

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
from xpnn.errors import InputError, TrainingDiverged, TrainingInterrupted
from xpnn.losses import Loss
from xpnn.metrics import Metric, prepared
from xpnn.model import Model
from xpnn.network import Sequential
from xpnn.optimizers import LBFGS, Optimizer
from xpnn.penalties import Penalty
from xpnn.schedules import Schedule
from xpnn.training import lbfgs
from xpnn.training.batches import EpochLoss, Take, batches
from xpnn.training.callbacks import Callback, StopOnNaN, Training
from xpnn.training.callbacks.audience import Audience, give_model
from xpnn.training.callbacks.base import Figures
from xpnn.training.step import State, Step, first_state, make_step, predictor, value
from xpnn.typing import Array, HostArray, Namespace


class _Reached(NamedTuple):
    """What training has reached after an epoch."""

    epoch: int
    params: Array | None  # None: those drawn from the seed
    buffers: Array | None


def _copied(start: Callable[[], Array], xp: Namespace, reached: _Reached) -> tuple[Array, Array | None]:
    params = start() if reached.params is None else arrays.copy(reached.params, xp)
    return params, None if reached.buffers is None else arrays.copy(reached.buffers, xp)


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
        names = ["loss", *(["validation_loss", *self.metrics] if self.check else [])]
        self._audience = Audience(self.callbacks)
        self.history = {name: [] for name in (*names, *self._audience.adds(names))}
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
        return MappingProxyType({name: Figures(values) for name, values in self.history.items()})

    @cached_property
    def _rising(self) -> frozenset[str]:
        return frozenset(name for name, each in self.metrics.items() if each.larger_is_better) | self._audience.rising

    def check_schedule(self, how: str) -> None:
        """Find out whether what the learning rate follows is recorded, and falls when it gets better.

        Raises
        ------
        InputError
            If not; it says `how` something called ``{name}`` comes to be recorded.
        """
        schedule = getattr(self.optimizer, "learning_rate", None)
        for name in schedule.monitors if isinstance(schedule, Schedule) else ():
            if name in self._rising:
                raise InputError(
                    f"the learning rate's schedule watches {name!r}, of which larger is better, but takes smaller "
                    "for better: watch a loss."
                )
            if name not in self.history:
                raise InputError(
                    f"the learning rate's schedule watches {name!r}, but this training records "
                    f"{', '.join(map(repr, self.history))} only: {how.format(name=name)}, or watch another."
                )

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
        self.state = self.first(params)
        self._reached.append(self._keep(0, self.state))
        try:
            model = self._trained()
        except BaseException as error:
            how = {TrainingDiverged: "diverged", TrainingInterrupted: "interrupted"}.get(type(error), "error")
            self._audience.end(self._moment(stopped=how), error)
            raise
        try:
            self._audience.end(self._moment(stopped=model.stopped))
        except KeyboardInterrupt:
            raise self._interrupted(model) from None
        except Exception as error:
            give_model(error, model)
            raise
        return model

    def _trained(self) -> Model:
        try:
            train = self._minimise if isinstance(self.optimizer, LBFGS) else self._descend()
            self._audience.start(self._moment())
            return self._result(train())
        except TrainingDiverged as error:
            if any(isinstance(callback, StopOnNaN) for callback in self.callbacks):
                return error.model
            raise
        except KeyboardInterrupt:
            raise self._interrupted(self._model(self._reached[-1], "interrupted")) from None

    def _interrupted(self, model: Model) -> TrainingInterrupted:
        epoch = self._reached[-1].epoch
        return TrainingInterrupted(
            f"interrupted; this error's .model is as of epoch {epoch} of {self.epochs}.", model=model, epoch=epoch
        )

    # ways to train

    def _descend(self) -> Callable[[], str]:
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
        return partial(self._steps_of, step)

    def _steps_of(self, step: Step) -> str:
        try:
            return self._take_steps(step, self.state)
        finally:
            step.rest()

    def _take_steps(self, step: Step, state: State) -> str:
        stopped, batch, watching = "", self.train, any(callback.every for callback in self.callbacks)

        def steps(epoch: int) -> tuple[float, _Reached, dict[str, float]]:
            nonlocal state, stopped, batch
            total, done = self.epoch_loss(), state.step
            for batch in self._batches(epoch):
                state, batch_loss = step(state, *batch)
                total.add(batch_loss, batch[0], batch[2])
                if watching and self._batch_over(epoch, state.step - done, step, state, batch_loss):
                    stopped = "callback"
                    break
            self._rate, self._steps = step.latest_rate, state.step
            self.state = step.whole(state)
            return self._judged(epoch, total.result(), self.state)

        for epoch in range(1, self.epochs + 1):
            judged = self.backend.steps(partial(steps, epoch))
            stopped = self._epoch_over(epoch, *judged) or stopped
            if stopped:
                break
        if not math.isfinite(last := self._last_loss(*batch)):
            raise self._diverged(epoch, f"the loss became {last} after the last step")
        return stopped or "epochs"

    def _minimise(self) -> str:
        """Iterations of L-BFGS, each of which counts as an epoch."""
        assert isinstance(self.optimizer, LBFGS)
        stopped = ""

        def iteration(number: int, loss: float, reached: State) -> bool:
            nonlocal stopped
            self._steps = number
            stopped = self._epoch_over(number, *self._judged(number, loss, reached))
            return bool(stopped)

        objective = lbfgs.Objective(
            self.network, self.loss, penalty=self.penalty, backend=self.backend, xp=self.xp, compile=self.compile
        )
        evaluate = partial(objective, *self.train)
        try:
            why = lbfgs.minimise(evaluate, self.state, self.optimizer, self.epochs, iteration, self.backend, self.xp)
        finally:
            objective.rest()
        return stopped or why

    # between steps

    def _batch_over(self, epoch: int, batch: int, step: Step, state: State, loss: Array) -> bool:
        """Tell those who want to know; whether one of them asks for a stop."""
        self._rate, self._steps = step.latest_rate, state.step

        def now() -> tuple[Array, Array | None]:
            whole = step.whole(state)
            return self._copies(_Reached(0, whole.params, whole.buffers))

        def model() -> Model:
            return self._model(_Reached(self._reached[-1].epoch, *now()), "error")

        return self._audience.batch_end(self._moment(epoch, batch, loss=loss, state=now), model)

    def _judged(self, epoch: int, loss: float, state: State) -> tuple[float, _Reached, dict[str, float]]:
        """The loss of an epoch, a copy of what it has reached, and what that is worth on the validation data."""
        if not math.isfinite(loss):
            raise self._diverged(epoch, f"the loss became {loss}")
        if len(self._reached) == 2:
            self._reached.popleft()  # before another copy is made
        reached = self._keep(epoch, state)
        return loss, reached, self._scores(self._params(reached), reached.buffers)

    def _epoch_over(self, epoch: int, loss: float, reached: _Reached, scores: Mapping[str, float]) -> str:
        """Write the history, tell the callbacks; why to stop, or ``""``."""
        self.history["loss"].append(loss)
        for name, score in scores.items():
            self.history[name].append(score)
        self._reached.append(reached)
        told = self._moment(epoch, self.per_epoch, loss=loss)

        def model() -> Model:
            return self._model(reached, "error")

        for name, figure in self._audience.figures(told, model).items():
            self.history[name].append(figure)
        wanted = self._audience.epoch_end(told, model)
        if self.tol is not None and loss <= self.tol:
            return "tol"
        return "callback" if wanted else ""

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
        return Training(
            network=self.network,
            epoch=epoch or reached.epoch,
            epochs=self.epochs,
            batch=batch,
            batches=self.per_epoch,
            step=self._steps,
            history=self.view,
            learning_rate=self._rate,
            larger_is_better=self._rising,
            stopped=stopped,
            _loss=loss,
            _state=state or partial(self._copies, reached),
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
        finite = (each for each in reversed(reached) if math.isfinite(self._loss_of(each)))
        good = next(finite, reached[0])
        rate = getattr(self.optimizer, "learning_rate", None)
        advice = "Standardise" if rate is None else f"Use a smaller learning rate (now {rate}) or standardise"
        return TrainingDiverged(
            f"{what} in epoch {epoch}; the last good parameters, those after epoch {good.epoch}, are in this "
            f"error's .model. {advice} the features.",
            model=self._model(good, "diverged"),
            epoch=epoch,
        )

    def _loss_of(self, reached: _Reached) -> float:
        """J over the training data, of the network as it predicts."""
        return float(self._value(self._params(reached), reached.buffers, *self.train))

    def _last_loss(self, *batch: Any) -> float:
        """Of the last batch: the last step's parameters have met no loss yet, and may have blown up."""
        return float(self._value(self.state.params, self.state.buffers, *batch))

    def _keep(self, epoch: int, state: State) -> _Reached:
        """A copy, because the next step may write over the state; after the last there is none."""
        if epoch == self.epochs:
            return _Reached(epoch, state.params, state.buffers)
        buffers = None if state.buffers is None else self.backend.copy(state.buffers, self.xp)
        again = self.drawn and epoch == 0
        return _Reached(epoch, None if again else self.backend.copy(state.params, self.xp), buffers)

    def _params(self, reached: _Reached) -> Array:
        return self._start() if reached.params is None else reached.params

    @cached_property
    def _start(self) -> Callable[[], Array]:
        """The parameters that the seed gives, where those to start from are."""
        return partial(self.network.init, self.seed, like=arrays.copy(self.state.params[:0], self.xp))

    @property
    def _copies(self) -> Callable[[_Reached], tuple[Array, Array | None]]:
        """A function that gives what was reached, to keep or to write over; it holds neither data nor state."""
        return partial(_copied, self._start, self.xp)

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
