"""From a table alone: the task, the schema, and which rows to hold out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xpnn.errors import InputError
from xpnn.tables.cells import (
    MOST_CODES,
    are_disguised,
    is_number,
    is_text,
    is_zero_one,
    mean_and_scale,
    no_nulls,
    no_stray_text,
    not_a_number,
    numbers,
    quoted,
    strings,
    zero_one,
)
from xpnn.tables.schema import Schema, no_column

if TYPE_CHECKING:
    import polars as pl


def infer_task(table: pl.DataFrame, targets: Sequence[str]) -> str:
    """The task that the target columns suggest.

    One target: two values are binary; text, and whole numbers with 3 to 20 values that each occur five times on
    average, are multiclass; other numbers are regression. Several: all 0/1 or true/false is multilabel, all numbers
    regression.

    Raises
    ------
    InputError
        If several targets are neither.
    """
    columns = [table[name] for name in targets]
    if len(columns) > 1:
        if all(is_zero_one(column) for column in columns):
            return "multilabel"
        if all(column.dtype.is_numeric() for column in columns):
            return "regression"
        raise InputError(
            f"several targets must be all 0/1 (multilabel) or all numbers (regression); {quoted(targets)} are not."
        )
    column = columns[0].drop_nulls()
    different = column.n_unique()
    if different == 2:
        return "binary"
    if not column.dtype.is_numeric():
        return "multiclass"
    whole = column.dtype.is_integer() or bool((column == column.round()).all())
    return "multiclass" if whole and different <= min(MOST_CODES, len(column) // 5) else "regression"


def make_schema(
    table: pl.DataFrame,
    train: pl.DataFrame,
    targets: Sequence[str],
    task: str,
    ignore: Sequence[str] = (),
    *,
    filled: bool = False,
) -> Schema:
    """The schema of a table for a task.

    Parameters
    ----------
    table : polars.DataFrame
        All rows: the classes are taken from them.
    train : polars.DataFrame
        The rows to train on: means, scales and text values are taken from them alone.
    targets, ignore : sequence of str
        The columns to predict, and columns to leave out.
    task : str
        One of `TASKS`.
    filled : bool
        Whether cells may be empty.

    Raises
    ------
    InputError
        If a column is not there, no column is left to learn from, the target does not fit the task, or a cell is
        empty, unless such are `filled`.
    """
    ignored = dict.fromkeys(ignore, "left out as asked")
    _check_names(table, targets, ignore)
    where = train if filled else table
    ignored |= {c.name: "empty" for c in where if c.null_count() == where.height and c.name not in ignored}
    for name in targets:
        if name in ignored:
            raise InputError(f"the target {name!r} is empty.")
    amounts: list[str] = []
    words: dict[str, list[str]] = {}
    for name in table.columns:
        if name in targets or name in ignored:
            continue
        if is_text(train[name]):
            no_stray_text(table[name], ", or leave the column out with --ignore")
        why, values = _unused(train[name])
        if why:
            ignored[name] = why
        elif values:
            words[name] = values
        else:
            amounts.append(name)
    if not filled:
        used = (column for column in table if column.name in (*amounts, *words, *targets))
        no_nulls(*used, also=", let --missing fill or drop do it, or leave columns out with --ignore")
    for name in amounts:
        numbers(table[name], 0.0)  # a cell that cannot be used says so with its row in the whole table
    if not amounts and not words:
        raise InputError(
            f"no column is left to learn from besides the target {quoted(targets)}"
            + "".join(f"; column {name!r}: {why}" for name, why in ignored.items())
            + "."
        )
    numeric = {name: mean_and_scale(train[name]) for name in amounts}
    classes = scales = None
    if task == "regression":
        _check_amounts(table, targets)
        scales = [mean_and_scale(train[name]) for name in targets]
    elif task == "multilabel":
        for name in targets:
            zero_one(table[name], 0.0)
    else:
        classes = _classes(table, targets, task)
    return Schema(numeric, words, list(targets), task, classes, scales, ignored, filled)


def _check_names(table: pl.DataFrame, targets: Sequence[str], ignore: Sequence[str]) -> None:
    for name in (*targets, *ignore):
        if name not in table.columns:
            raise InputError(no_column(name, table.columns))
    for name in targets:
        if name in ignore:
            raise InputError(f"column {name!r} is the target: it cannot be left out as well.")


def _unused(column: pl.Series) -> tuple[str, list[str]]:
    """Why nothing can be learned from a column, or ``""``; and the values of one of text."""
    same = "the same in all rows to train on: {}"
    if is_number(column):
        some = column.drop_nulls()
        return "" if some.n_unique() > 1 else same.format(some[0]), []
    if not is_text(column):
        return f"holds {column.dtype}, not numbers or text", []
    values = sorted(set(strings(column)) - {None})
    many = f"text with {len(values)} different values"
    if are_disguised(values):
        return f"{many}, which look like numbers: write them plainly, as 1234.5, to use them", values
    if len(values) > max(20, len(column) // 10):
        return many, values
    if len(values) == 1 and not column.null_count():
        return same.format(values[0]), values
    return "", values


def _check_amounts(table: pl.DataFrame, targets: Sequence[str]) -> None:
    """Raise `InputError` if a target of a regression holds anything else than numbers."""
    for name in targets:
        if not is_number(table[name]):
            row = not_a_number(table[name])
            raise InputError(
                f"regression needs numbers, but the target {name!r} holds {table[name][row]!r} in row {row + 1}: "
                "correct it, or choose --task binary or multiclass."
            )
        numbers(table[name], 0.0)


def row_numbers(table: pl.DataFrame, schema: Schema) -> list[str]:
    """The columns used as numbers that may only name the rows: whole numbers, each different."""
    used = [table[name] for name in schema.numeric]
    return [c.name for c in used if table.height > 20 and c.dtype.is_integer() and c.n_unique() == table.height]


def _classes(table: pl.DataFrame, targets: Sequence[str], task: str) -> list[Any]:
    if len(targets) > 1:
        raise InputError(f"{task} takes one target, got {len(targets)}: {quoted(targets)}.")
    column = table[targets[0]]
    if not (is_number(column) or is_text(column)) or column.dtype.is_decimal() or column.dtype.is_temporal():
        raise InputError(f"the target {column.name!r} holds {column.dtype}, not classes.")
    if column.dtype.is_float():
        numbers(column.drop_nulls())  # NaN and infinity are no classes
    classes = column.drop_nulls().unique().sort().to_list()
    if is_text(column) and not is_number(column):
        no_stray_text(column)
        if are_disguised(list(map(str, classes))):
            raise InputError(
                f"the target {column.name!r} holds {classes[0]!r} and {len(classes) - 1} more that look like "
                "numbers: write them plainly, as 1234.5, to predict amounts."
            )
    few = f"the target {column.name!r} has {len(classes)} different value{'s' * (len(classes) != 1)}"
    if task == "binary" and len(classes) != 2:
        raise InputError(f"binary needs two classes, but {few}.")
    if len(classes) < 2:
        raise InputError(f"{few} ({quoted(classes)}): there is nothing to tell apart.")
    if len(classes) > max(2, table.height // 2):
        raise InputError(
            f"{few} in {table.height} rows: too many to be classes. For numbers choose --task regression."
        )
    return classes
