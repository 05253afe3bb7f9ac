"""Which library, which device, and the errors when they are mixed."""

import numpy as np
import pytest

from xpnn import arrays
from xpnn.errors import ArrayError

from .conftest import LIBRARIES


def test_the_namespace_is_found_and_what_is_optional_may_be_none(lib):
    assert arrays.namespace(a=lib([1.0]), sample_weight=None, c=lib([2])) is lib.xp
    with pytest.raises(ArrayError, match="y must be an array, got None"):
        arrays.namespace(a=lib([1.0]), y=None)


@pytest.mark.parametrize("thing", [[1.0, 2.0], 3.0, "x", {"a": 1}])
def test_what_is_not_an_array_is_an_error(thing):
    with pytest.raises(
        ArrayError, match=r"X must be an array, got an? \w+: make one first, for example numpy.asarray"
    ):
        arrays.namespace(X=thing)


def test_a_sparse_matrix_is_not_an_array_but_can_give_one():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ArrayError, match=r"X must be an array, got a csr_array: .* for example X.toarray\(\)\."):
        arrays.namespace(X=sparse.csr_array(np.eye(2)))


def test_no_array_at_all_is_an_error():
    with pytest.raises(ArrayError, match="no array was given"):
        arrays.namespace(params=None)


@pytest.mark.parametrize("other", [name for name in LIBRARIES if not name.startswith("numpy")])
def test_arrays_of_two_libraries_are_an_error_that_names_both(other):
    there = LIBRARIES[other]([1.0])
    package = arrays.library(LIBRARIES[other].xp)
    with pytest.raises(ArrayError, match=f"X is a numpy array but y is an? {package} array: xpnn never copies"):
        arrays.namespace(X=np.ones(1), y=there)


def test_arrays_on_two_devices_are_an_error_that_names_both():
    strict = pytest.importorskip("array_api_strict")
    here, there = strict.ones(2), strict.ones(2, device=strict.Device("device1"))
    with pytest.raises(
        ArrayError, match=r"X is on device .*CPU_DEVICE.* but y is on device .*device1.*convert y \(or X\)"
    ):
        arrays.one_place(X=here, sample_weight=None, y=there)
    arrays.check_same_device(X=there, y=there)


def test_from_host_copies_rounds_once_and_keeps_the_device(lib):
    host = np.array([1.0 / 3.0, 2.0 / 3.0])
    there = arrays.from_host(host, lib.xp, dtype=lib.xp.float32, device=lib.device)
    host[:] = 0.0
    lib.check(there, "float32")
    np.testing.assert_array_equal(lib.host(there), np.array([1 / 3, 2 / 3], dtype=np.float32))


def test_a_copy_shares_no_memory():
    for name, lib in LIBRARIES.items():
        if name in ("numpy-readonly", "jax"):
            continue
        a = lib([1.0, 2.0])
        b = arrays.copy(a, lib.xp)
        b += 1.0
        np.testing.assert_array_equal(lib.host(a), [1.0, 2.0])


def test_the_dtype_of_integers_is_the_library_default(lib):
    assert arrays.real_dtype(lib([1, 2]), lib.xp) == arrays.default_float(lib.xp)
    assert arrays.real_dtype(lib([1.0], "float32"), lib.xp) == lib.xp.float32
