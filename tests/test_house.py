"""Rules of the house: every public part is tested and described, and the table of cases is complete."""

import dataclasses
import inspect
import json
import pickle
import re
from pathlib import Path

import pytest

import xpnn
from xpnn import (
    activations,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    penalties,
    registry,
    schedules,
    testing,
)

from . import cases
from .cases import ACTIVATIONS, INITIALIZERS, LAYERS, LOSSES, METRICS, OPTIMIZERS, PENALTIES, SCHEDULES, SEARCHES

PARTS = [
    *ACTIVATIONS.values(),
    *(row[0] for row in LOSSES.values()),
    *(row[0] for row in LAYERS.values()),
    *OPTIMIZERS.values(),
    *SEARCHES.values(),
    *PENALTIES.values(),
    *(row[0] for row in INITIALIZERS.values()),
    *(row[0] for row in SCHEDULES.values()),
    *(row[0] for row in METRICS.values()),
]
BASES = (
    xpnn.Activation,
    xpnn.Loss,
    xpnn.Layer,
    xpnn.Optimizer,
    xpnn.Initializer,
    xpnn.Penalty,
    xpnn.Schedule,
    xpnn.Metric,
)
PUBLIC = [getattr(xpnn, name) for name in xpnn.__all__]
CHECKS = [getattr(testing, name) for name in testing.__all__]


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (activations.NAMES, ACTIVATIONS.values()),
        (losses.NAMES, [row[0] for row in LOSSES.values()]),
        (layers.registry.classes, [row[0] for row in LAYERS.values()]),
        (optimizers.NAMES, [*OPTIMIZERS.values(), *SEARCHES.values()]),
        (penalties.NAMES, PENALTIES.values()),
        (initializers.NAMES, [row[0] for row in INITIALIZERS.values()]),
        (schedules.NAMES, [row[0] for row in SCHEDULES.values()]),
        (metrics.NAMES, [row[0] for row in METRICS.values()]),
    ],
)
def test_every_registered_part_has_its_row(names, rows):
    assert set(names.values()) <= {type(part) for part in rows}


def test_every_public_part_is_registered_by_a_name():
    every = (activations, losses, optimizers, penalties, initializers, schedules, metrics)
    registered = {cls for r in every for cls in r.NAMES.values()}
    registered |= set(layers.registry.classes.values())
    public = {c for c in PUBLIC if inspect.isclass(c) and issubclass(c, BASES)} - set(BASES)
    assert public == registered


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_a_part_is_its_hyperparameters(part):
    assert dataclasses.is_dataclass(part)
    assert pickle.loads(pickle.dumps(part)) == part
    assert hash(part) == hash(dataclasses.replace(part))
    assert eval(repr(part), vars(xpnn) | vars(losses) | vars(cases)) == part
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.anything = 1


@pytest.mark.parametrize("part", [p for p in PARTS if type(p).__name__ in xpnn.__all__], ids=repr)
def test_a_part_survives_json(part):
    assert registry.build(json.loads(json.dumps(registry.describe(part)))) == part


@pytest.mark.parametrize(
    "thing", [t for t in (*PUBLIC, *CHECKS) if inspect.isclass(t) or inspect.isfunction(t)], ids=lambda t: t.__name__
)
def test_every_public_name_and_method_has_a_docstring(thing):
    assert inspect.getdoc(thing)
    if inspect.isclass(thing) and thing.__module__.startswith("xpnn"):
        for name, member in vars(thing).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert inspect.getdoc(member), f"{thing.__name__}.{name}"


@pytest.mark.parametrize(
    "thing",
    [t for t in (*PUBLIC, *CHECKS) if inspect.isfunction(t)]
    + [getattr(xpnn.Model, n) for n in ("predict", "predict_labels", "evaluate", "to")],
    ids=lambda t: t.__qualname__,
)
def test_every_parameter_of_a_public_function_is_described(thing):
    names = [n for n in inspect.signature(thing).parameters if n != "self"]
    assert [n for n in names if f"{n} :" not in thing.__doc__] == []


def test_a_method_that_is_missing_is_named():
    class Half(xpnn.Activation):
        def forward(self, z, *, xp):
            return z, None

    with pytest.raises(NotImplementedError, match=r"Half must define backward: help\(xpnn\.Activation\.backward\)"):
        Half().backward(None, None, xp=None)


@pytest.mark.parametrize(
    "base", [xpnn.Activation, xpnn.Loss, xpnn.Layer, xpnn.Optimizer, xpnn.Penalty], ids=lambda base: base.__name__
)
def test_the_bases_whose_formulas_are_compiled_say_what_these_may_depend_on(base):
    said = " ".join(inspect.getdoc(base).split())
    assert re.search(r"may depend on .*alone: whatever else .* is read once and kept with the compiled step", said)


def test_so_does_the_readme():
    said = " ".join(Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8").split())
    assert "Formulas may depend on their fields and arguments alone: whatever else they look up, " in said
    assert "is read once and kept with the compiled step" in said


def test_the_base_classes_leave_the_formulas_to_their_subclasses():
    with pytest.raises(NotImplementedError):
        xpnn.Activation().forward(None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Activation().backward(None, None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Loss().terms(None, None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Initializer().sample((1, 1), None)
    with pytest.raises(NotImplementedError):
        xpnn.Metric().value(None, None, None, xp=None)
    with pytest.raises(NotImplementedError):
        metrics.decisions.Averaged().score(None, None, None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Penalty(1.0).value(None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Penalty(1.0).derivative(None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Optimizer().init(None, xp=None)
    with pytest.raises(NotImplementedError):
        xpnn.Optimizer().constants(0, 0.1)
    for method, arguments in (
        ("parameter_shapes", ((2,),)),
        ("output_shape", ((2,),)),
        ("init", ((2,), None)),
        ("forward", ({}, None, None)),
        ("backward", ({}, None, None, None)),
    ):
        with pytest.raises(NotImplementedError):
            getattr(xpnn.Layer(), method)(*arguments)
