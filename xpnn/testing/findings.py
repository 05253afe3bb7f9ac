"""What checks have found, gathered so that it is said in one go."""

from __future__ import annotations

import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import XpnnError

Numbers = NDArray[Any]
"""An array on the host."""

ROUNDING = {"float32": 1e-5, "float64": 1e-12}
"""By how much sums in another order may differ, as a share of the largest."""

_XPNN = Path(__file__).parents[1]


class CheckFailed(AssertionError):  # noqa: N818  (what happened, not what kind of class it is)
    """A part does not do what a part must.

    Attributes
    ----------
    problems : tuple of str
        What is wrong, each in a sentence or two, with where it was found.
    """

    def __init__(self, part: object, problems: tuple[str, ...]) -> None:
        self.problems = problems
        name = textwrap.shorten(_repr(part), 80, placeholder=" …")
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{name} has {count}:" + "".join(f"\n- {problem}" for problem in problems))


class Problem(Exception):  # noqa: N818
    """Something that is wrong with a part.

    Parameters
    ----------
    what : str
        The same wherever it is met.
    example : str
        The numbers of the first place.
    fix : str
        What to do about it.
    """

    def __init__(self, what: str, example: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.example, self.fix = what, example, fix


class Findings:
    """The problems of one part, each with the places where it was met; at the end of the block they are raised.

    Parameters
    ----------
    part : object
    """

    def __init__(self, part: object) -> None:
        self.part = part
        self._found: dict[str, tuple[Problem, list[str]]] = {}

    def run(self, place: str, check: Callable[..., None], *arguments: Any) -> bool:
        """Run a check and keep what is wrong; whether nothing was."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                check(*arguments)
            except Problem as error:
                problem = error
            except XpnnError as error:
                problem = Problem(str(error).rstrip("."))
            except Exception as error:  # whatever a part of the user's own raises
                problem = Problem(_raised(error))
            else:
                return True
        _, places = self._found.setdefault(problem.what, (problem, []))
        if place and place not in places:
            places.append(place)
        return False

    def run_all(self, place: str, checks: Iterable[Callable[..., None]], *arguments: Any) -> bool:
        """Run checks up to the first that finds something; whether none did."""
        return all(self.run(place, check, *arguments) for check in checks)

    def __enter__(self) -> Findings:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None and self._found:
            raise CheckFailed(self.part, tuple(_said(*each) for each in self._found.values()))


def _said(problem: Problem, places: list[str]) -> str:
    said = problem.what + (f": {problem.example}" if problem.example else "")
    said += f" ({problem.fix})" if problem.fix else ""
    shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    return f"{said} [{shown}]" if places else said


def _raised(error: Exception) -> str:
    """An error in a part's own code: what and where."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_XPNN)]
    text = str(error).strip().splitlines() or [""]
    what = f"{type(error).__name__}: {textwrap.shorten(text[0], 200, placeholder=' …')}"
    if isinstance(error, ValueError) and "read-only" in text[0]:
        what = "it writes into an array that it was given, which may be needed elsewhere and which JAX does not allow"
    where = f", in {own[0].name}, line {own[0].lineno} of {Path(own[0].filename).name}" if own else ""
    return f"{what}{where}"


def _repr(part: object) -> str:
    try:
        return repr(part)
    except Exception as error:
        return f"{type(part).__name__} (whose repr raises {type(error).__name__})"


def compare(what: str, got: Numbers, expected: Numbers, relative: float, fix: str, *, least: float = 0.0) -> None:
    """Raise `Problem` where numbers differ by more than a share of the largest that is expected, or of `least`."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    near = abs(got - expected) <= relative * abs(expected).max(initial=least)
    wrong = ~(near | (got == expected) | (np.isnan(got) & np.isnan(expected)))
    if wrong.any():
        i = np.unravel_index(np.argmax(wrong), wrong.shape)
        at = f" at {[*map(int, i)]}" if i else ""
        raise Problem(what, f"{float(got[i]):.6g}{at}, expected {float(expected[i]):.6g}", fix)


def by_themselves(what: str, f: Callable[[Numbers], Numbers], x: Numbers, dtype: str) -> None:
    """Raise `Problem` unless f gives for all rows of x together what it gives for each row alone."""
    alone = np.concatenate([f(x[i : i + 1]) for i in range(len(x))])
    why = "no sums or means over samples: what is predicted for one does not depend on which others are asked for"
    compare(f"{what} gives a row by itself another result than among others", alone, f(x), ROUNDING[dtype], why)
