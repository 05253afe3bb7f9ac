"""scikit-learn's own checks of what an estimator is, none of them expected to fail."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn")
from sklearn.utils.estimator_checks import parametrize_with_checks

import xpnn
from xpnn.estimators import MLPClassifier, MLPRegressor
from xpnn.testing import libraries

from .conftest import LIBRARIES

ESTIMATORS = [
    MLPClassifier(max_iter=100),
    MLPRegressor(max_iter=100),
    MLPClassifier((5,), solver="lbfgs", max_iter=100),
    MLPRegressor(hidden_layer_sizes=(30,), activation=["gelu"], optimizer=xpnn.Adam(0.05), max_iter=100),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


CHECKS = """
import collections, json, sys, warnings
from sklearn.utils.estimator_checks import check_estimator
from xpnn.estimators import MLPClassifier, MLPRegressor

found = []
for estimator in (MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    for each in results:
        found.append([each["check_name"], each["status"], str(each["exception"])])
print(json.dumps(found))
"""


def test_the_checks_of_array_libraries_run_and_pass():
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    out = subprocess.run([sys.executable, "-c", CHECKS], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(out.stdout)
    failed = [row for row in found if row[1] == "failed"]
    if "cupy" not in LIBRARIES:  # one that is installed but has no GPU cannot pass
        failed = [row for row in failed if "cuda" not in row[2].lower()]
    assert failed == []
    arrays = [row for row in found if "array_api" in row[0]]
    ran = [row for row in arrays if row[1] == "passed"]
    # array-api-strict on its devices and another namespace, with PyTorch mixed inputs as well: for both estimators
    assert len(ran) >= (12 if importlib.util.find_spec("torch") else 8) + 2 * ("cupy" in LIBRARIES), arrays
    skipped = {row[2] for row in arrays if row[1] == "skipped"}
    assert not any("SCIPY_ARRAY_API" in reason for reason in skipped), skipped
    others = [row for row in found if row[1] == "skipped" and "array_api" not in row[0]]
    assert others == []


DISPATCHED = """
import importlib, json, pickle, sys, warnings
import numpy as np
import sklearn
from sklearn.model_selection import cross_val_predict
from xpnn.estimators import MLPClassifier

warnings.simplefilter("ignore")
xp = importlib.import_module(sys.argv[1])
rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
targets = np.stack([X[:, 0] > 0, np.digitize(X[:, 0], [-0.5, 0.5]) + 3]).astype(np.int64)
new = lambda: MLPClassifier((4,), max_iter=20, random_state=0)
host = lambda values: np.asarray(values.tolist() if hasattr(values, "tolist") else np.from_dlpack(values))
found = []
for y in targets:
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        expected = cross_val_predict(new(), X, y, cv=3, method=method)
        with sklearn.config_context(array_api_dispatch=True):
            got = cross_val_predict(new(), xp.asarray(X), xp.asarray(y), cv=3, method=method)
        found.append(bool(np.allclose(host(got), expected)))
    with sklearn.config_context(array_api_dispatch=True):
        mlp = new().fit(xp.asarray(X), xp.asarray(y))
        again = new()
        for _ in range(2):
            again.partial_fit(xp.asarray(X), xp.asarray(y), classes=xp.asarray(np.unique(y)))
    for each in (mlp, again, pickle.loads(pickle.dumps(mlp))):
        there = each.classes_
        found.append(type(there) is type(xp.asarray(y)) and host(there).tolist() == np.unique(y).tolist())
    found.append(type(new().fit(xp.asarray(X), xp.asarray(y)).classes_) is np.ndarray)
    found.append(type(mlp.to("numpy").classes_) is np.ndarray)
    found.append(type(mlp.to(like=xp.asarray(X)).classes_) is np.ndarray)  # what came to the host stays there
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", [name for name in ("torch", "strict", "cupy") if name in LIBRARIES])
def test_tools_that_dispatch_find_the_classes_in_the_library_of_y(name):
    library = libraries.STRICT if name == "strict" else name
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    command = [sys.executable, "-c", DISPATCHED, library]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout) == [True] * 20
