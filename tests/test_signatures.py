"""The stand-in for a library that cannot run here refuses what that library would."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from . import signatures


def made():
    """A library, and another that has less."""

    def total(x, /, *, axis=None, keepdims=False):
        return f"the sum along {axis}"

    def root(x, /, *, out=None):
        return "the root"

    def gone(x):
        return x

    namespace = SimpleNamespace(total=total, root=root, gone=gone)
    signatures.hold(namespace, SimpleNamespace(__name__="other", total=lambda x, axis=None: x, root=np.sqrt))
    return namespace


def test_what_both_take_is_called():
    namespace = made()
    assert namespace.total(1, axis=0) == "the sum along 0"
    assert namespace.root(1, out=None) == "the root"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda xp: xp.total(1, keepdims=True), "other.total: .*keepdims"),
        (lambda xp: xp.root(1, 2), "other.root: too many positional arguments"),
        (lambda xp: xp.root(1, where=True), "other.root: .*where"),
        (lambda xp: xp.gone(1), "other has no gone"),
    ],
)
def test_what_the_other_does_not_take_is_refused(call, says):
    with pytest.raises(AssertionError, match=says):
        call(made())


def test_the_strict_library_is_held_to_cupy_where_that_is_installed():
    pytest.importorskip("cupy")
    strict = pytest.importorskip("array_api_strict")
    assert float(strict.sum(strict.ones(3))) == 3
    with pytest.raises(AssertionError, match="cupy.sum: .*initial"):
        strict.sum(strict.ones(3), initial=1)
