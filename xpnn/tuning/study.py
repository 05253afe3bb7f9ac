"""The search as Optuna sees it: what it suggests, which trials it ends early, and the file that remembers them.

The only importer of Optuna.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn import random
from xpnn.errors import BackendError, InputError
from xpnn.files import atomic
from xpnn.tuning.result import Trial
from xpnn.tuning.space import SearchSpace

if TYPE_CHECKING:
    import optuna

_NAME, _IDENTITY = "xpnn", "search"
_STARTUP = 5  # trials that are run to the end before any is pruned
_GRACE = 3  # seconds after which the lock on the file counts as that of a process which was killed


class Study:
    """Suggests what to try next, from what was found before.

    Trial n is suggested by a sampler of its own, seeded by (seed, n) and told of the trials before: a search that
    goes on from its file suggests what it would have suggested in one go. The file holds trials that are over, and
    nothing else: one that was killed has left no trace.

    Parameters
    ----------
    space : SearchSpace
    seed : int
    larger_is_better : bool
    warm_up : int
        Epochs in which no trial is pruned.
    storage : path, optional
        The file.
    identity : mapping of str to str
        What makes this search another than others: the trials of a file are its own only if all of it is the same.

    Attributes
    ----------
    trials : list of Trial
        Those that are over.

    Raises
    ------
    BackendError
        If Optuna is not installed.
    InputError
        If the file belongs to something else or cannot be written.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        larger_is_better: bool,
        warm_up: int,
        storage: str | os.PathLike[str] | None,
        identity: Mapping[str, str],
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise BackendError("tune needs Optuna: pip install 'xpnn[tune]'.") from None
        self._space, self._seed, self._identity = space, seed, dict(identity)
        self._direction = "maximize" if larger_is_better else "minimize"
        self._path = None if storage is None else Path(storage)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=warm_up)
        with _quiet():
            # trials that are under way are in here alone
            self._study = optuna.create_study(direction=self._direction, pruner=pruner)
            self._file = None if self._path is None else self._opened(self._path)
            if self._file is not None:
                self._study.add_trials(self._file.trials)
        self.trials = [self._told(trial) for trial in self._study.trials]

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """The next trial, and the parameters it is to try."""
        import optuna

        with _quiet():
            seed = int(random.generator(self._seed, "trials", len(self.trials)).integers(2**31))
            self._study.sampler = optuna.samplers.TPESampler(seed=seed)
            trial = self._study.ask()
            return trial, self._space.suggest(trial)

    def tell(
        self,
        trial: optuna.Trial,
        state: str,
        *,
        score: float | None,
        epochs: int,
        seconds: float,
        reason: str = "",
    ) -> Trial:
        """Take note of a trial that is over, in the file as well."""
        import optuna

        with _quiet():
            for name, value in {"score": score, "epochs": epochs, "seconds": seconds, "reason": reason}.items():
                trial.set_user_attr(name, value)
            if state == "finished":
                self._study.tell(trial, score)
            else:
                states = optuna.trial.TrialState
                self._study.tell(trial, state=states.PRUNED if state == "pruned" else states.FAIL)
            over = self._study.get_trials(deepcopy=False)[-1]
            if self._path is not None:
                self._write(self._path, over)
        self.trials.append(self._told(over))
        return self.trials[-1]

    def _told(self, trial: optuna.trial.FrozenTrial) -> Trial:
        import optuna

        states = optuna.trial.TrialState
        names = {states.COMPLETE: "finished", states.PRUNED: "pruned", states.FAIL: "failed"}
        parameters = self._space.suggest(optuna.trial.FixedTrial(trial.params))
        return Trial(number=trial.number + 1, parameters=parameters, state=names[trial.state], **trial.user_attrs)

    def _write(self, path: Path, trial: optuna.trial.FrozenTrial) -> None:
        import optuna

        try:
            if self._file is None:
                self._file = self._created(path)
            if len(self._file.get_trials(deepcopy=False)) != trial.number:
                raise InputError(f"{path} was written to by another search meanwhile: give each its own.")
            self._file.add_trial(trial)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
        except optuna.exceptions.DuplicatedStudyError:
            raise InputError(f"{path} was begun by another search meanwhile: give each its own.") from None
        except json.JSONDecodeError as error:
            raise InputError(f"{path} was damaged meanwhile: choose another name.") from error

    def _opened(self, path: Path) -> optuna.Study | None:
        """The study in the file; None if there is none yet."""
        try:
            atomic.check_writable(path)
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
        if not lines:
            return None
        import optuna

        try:
            if "op_code" not in json.loads(lines[0]):
                raise KeyError(_NAME)
            study = optuna.load_study(study_name=_NAME, storage=_journal(path))
            there = study.user_attrs.get(_IDENTITY) or ({} if study.trials else self._identity)
        except (KeyError, ValueError, TypeError) as error:  # lines that are not Optuna's, or not a search of ours
            raise InputError(f"{path} is not the storage of a search, or is damaged: choose another name.") from error
        for name in {**there, **self._identity}:
            then, now = there.get(name, "not given"), self._identity.get(name, "not given")
            if then != now:
                raise InputError(
                    f"{path} holds another search: there {name} was {then}, now it is {now}: choose another storage, "
                    "or ask for the same."
                )
        if not lines[-1].endswith(b"\n"):  # the process was killed while it wrote this
            atomic.write(path, b"".join(lines[:-1]))
        if not study.user_attrs:  # … or before it could
            study.set_user_attr(_IDENTITY, self._identity)
        return study

    def _created(self, path: Path) -> optuna.Study:
        import optuna

        study = optuna.create_study(study_name=_NAME, direction=self._direction, storage=_journal(path))
        study.set_user_attr(_IDENTITY, self._identity)
        return study


def _journal(path: Path) -> optuna.storages.JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    lock = JournalFileOpenLock(str(path), grace_period=_GRACE)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging and warning; how it does for others is left as it was."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
