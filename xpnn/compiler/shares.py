"""Find out how the work of a recording can be shared out among threads: what is done row by row, and what sums rows.

A value is *of rows* if its first axis is the samples' and each of its rows follows from the same row of the inputs.
What is computed for a step of training is then in three phases:

- *rows*: the way forward and back, each thread with its rows;
- *sums* over all rows, the gradients of the parameters: each thread with its rows of every product;
- the *update* of each element of the parameters: each thread with the elements whose gradients it has made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xpnn.compiler.factor import multiply
from xpnn.compiler.recording import Call, Number, Recording, Value, flat

MUCH = 1 << 14
"""Elements from which on threads share what they could find done."""


class CannotShare(Exception):  # noqa: N818
    """The rows meet in a way that is not one of the sums at the end."""


@dataclass
class Shares:
    """The phases of a recording, and what comes `first` and `last`, done at once for all."""

    n: int
    of_rows: set[Value] = field(default_factory=set)
    first: list[Call] = field(default_factory=list)
    rows: list[Call] = field(default_factory=list)
    sums: list[Call] = field(default_factory=list)
    join: Call | None = None
    update: list[Call] = field(default_factory=list)
    last: list[Call] = field(default_factory=list)

    def order(self) -> list[Call]:
        """The calls, phase by phase."""
        joined = [] if self.join is None else [self.join]
        return [*self.first, *self.rows, *self.sums, *joined, *self.update, *self.last]


def share(recording: Recording) -> Shares:
    """The phases of a step of training.

    Raises
    ------
    CannotShare
        If it does not have them.
    """
    if any(call.function is multiply for call in recording.calls):
        raise CannotShare("a factor that is no array is not cut into rows")
    shares = _phases(recording)
    if shares.join is None or not shares.update:
        raise CannotShare("no gradient is put together")
    parts: list[Value] = shares.join.arguments[0]
    made = {call.result for call in shares.sums}
    if not {part.owner for part in parts} <= made or not all(part.whole for part in parts):
        raise CannotShare("a part of the gradient is no sum over rows")
    return shares


def row_by_row(recording: Recording) -> bool:
    """Whether each row of the result follows from the same row of the inputs alone."""
    try:
        shares = _phases(recording)
    except CannotShare:
        return False
    outputs = {each for each in flat(recording.outputs) if isinstance(each, Value)}
    return not shares.sums and not shares.update and outputs <= shares.of_rows


def _phases(recording: Recording) -> Shares:
    state, *inputs = recording.inputs
    arrays = [each for each in flat(inputs) if isinstance(each, Value)]
    if not arrays or not arrays[0].array.ndim:
        raise CannotShare("there are no rows")
    shares = Shares(arrays[0].array.shape[0])
    shares.of_rows = {each for each in arrays if each.array.shape[:1] == (shares.n,)}
    # what has been learned enters: all else can be done before the threads start
    learned = {each for each in flat(state) if isinstance(each, Value)}
    changing = {call.result for call in recording.calls} | set(flat(recording.inputs))
    known: set[Value] = set()  # that depend on nothing: each has its rows from the start
    ahead: set[Value] = set()  # done with the rows, though nothing that has been learned enters
    across: set[Value] = set()  # transposed: their columns are the samples
    late: set[Value] = set()  # sums over rows and what follows from them
    for call in recording.calls:
        result = call.result
        if isinstance(result, Number):
            continue
        if call.in_place:
            known = {each for each in known if each.owner is not result.owner}
        elif not any(_changes(each, changing, known) for each in flat((call.arguments, call.options))):
            known.add(result)
            if result.array.ndim > 1 and result.array.shape[0] == shares.n:
                shares.of_rows.add(result)
            if call.kind != "view":
                shares.first.append(call)
            continue
        after_sums = late & {each.owner for each in call.reads} | late & set(call.reads)
        if call.in_place and shares.join is not None and result.owner in learned:
            after_sums |= {result}  # what has been learned, written over once the gradient is there: weight decay
        if call.in_place and not (after_sums and shares.join is not None):
            _check_order(call, shares)
        if after_sums:
            _after_sums(call, shares, late)
        elif call.kind == "view":
            _view(call, shares, across)
        elif not (learned | ahead) & {each.owner for each in call.reads}:
            stays = _stays(call, shares, across)
            if stays and result.array.size >= MUCH:
                shares.rows.append(call)
                ahead.add(result.owner)
            else:
                shares.first.append(call)
            if stays:
                shares.of_rows.add(result)
            continue
        elif not (shares.of_rows | across) & set(call.reads):
            shares.first.append(call)  # of the parameters alone
        elif _stays(call, shares, across):
            shares.rows.append(call)
            shares.of_rows.add(result)
        elif _sums(call, shares, across):
            shares.sums.append(call)
            late.add(result)
        else:
            raise CannotShare(f"{call.function.__name__} brings rows together")
        if learned & {each.owner for each in call.reads}:
            learned.add(result.owner)
        elif ahead & {each.owner for each in call.reads}:
            ahead.add(result.owner)
    return shares


def _changes(leaf: object, changing: set[object], known: set[Value]) -> bool:
    """Whether an argument may be another one at the next step; arrays that the function holds are not."""
    return isinstance(leaf, Number) or (isinstance(leaf, Value) and leaf in changing and leaf not in known)


def _check_order(call: Call, shares: Shares) -> None:
    """Refuse to write over what another phase read before: it would now be read after."""
    assert isinstance(call.result, Value)
    mine = (*shares.sums, *shares.update) if call.result in shares.of_rows else (*shares.rows, *shares.sums)
    if any(call.result.owner is each.owner for other in mine for each in other.reads):
        raise CannotShare("a value is written over that another phase reads")


def _view(call: Call, shares: Shares, across: set[Value]) -> None:
    (base,) = call.reads
    assert isinstance(call.result, Value)
    if base in shares.of_rows:
        one, other = base.array, call.result.array
        if other.ndim and one.shape[0] == other.shape[0] and one.strides[0] == other.strides[0] and _same_start(call):
            shares.of_rows.add(call.result)
        elif call.function is np.matrix_transpose and one.ndim == 2:
            across.add(call.result)
        else:
            raise CannotShare("a view of some of the rows")
    elif base in across:
        raise CannotShare("a view of transposed rows")


def _same_start(call: Call) -> bool:
    """Whether row i of the view is of row i: not, say, of those in reverse order or from the second on."""
    assert isinstance(call.result, Value)
    (base,) = call.reads
    return 0 <= call.result.start - base.start < max(1, base.array.strides[0])


def _stays(call: Call, shares: Shares, across: set[Value]) -> bool:
    """Whether row i of the result is of row i of what is read."""
    assert isinstance(call.result, Value)
    shape = call.result.array.shape
    if call.kind == "reduce":
        (x,) = call.reads
        return x in shares.of_rows and x.array.ndim == 2 and call.options["axis"] in (1, -1)
    if call.kind == "product":
        left, right = call.reads if len(call.reads) == 2 else (call.reads[0],) * 2
        return left in shares.of_rows and right not in shares.of_rows | across
    if call.kind != "elementwise" or shape[:1] != (shares.n,):
        return False
    if call.in_place and call.result not in shares.of_rows:
        return False
    of_rows = [each for each in call.reads if each in shares.of_rows]
    others = [each for each in call.reads if each not in shares.of_rows]
    aligned = all(each.array.ndim == len(shape) for each in of_rows)
    alike = all(each.array.ndim < len(shape) or each.array.shape[0] == 1 for each in others)
    return bool(of_rows) and aligned and alike


def _sums(call: Call, shares: Shares, across: set[Value]) -> bool:
    """Whether the call is a sum over all rows that can wait until all are there."""
    if call.kind == "product" and len(call.reads) == 2:
        left, right = call.reads
        return left in across and right in shares.of_rows
    if call.kind == "reduce" and call.function is np.add:
        return call.reads[0] in shares.of_rows and call.options["axis"] in (0, None)
    return False


def _after_sums(call: Call, shares: Shares, late: set[Value]) -> None:
    """Views and joining of the sums, the update of each element, and what becomes of numbers; nothing else."""
    assert isinstance(call.result, Value)
    if call.kind == "join" and shares.join is None:
        shares.join = call
    elif call.kind == "elementwise" and not any(each.array.ndim for each in (*call.reads, call.result)):
        shares.last.append(call)  # J and what is added to it
    elif call.kind == "elementwise" and shares.join is not None:
        size = shares.join.result.array.shape  # type: ignore[union-attr]
        if any(each.array.shape != size or not each.aligned for each in (*call.reads, call.result)):
            raise CannotShare("an update that is not element by element")
        shares.update.append(call)
    elif call.kind != "view" or shares.join is not None:
        raise CannotShare(f"{call.function.__name__} of a sum over rows")
    late.add(call.result)
