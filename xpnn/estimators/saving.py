"""An estimator as a model file, and back."""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from xpnn import registry
from xpnn.errors import BackendError, ModelFileError
from xpnn.estimators import inputs
from xpnn.estimators.labels import Labels
from xpnn.model import Model
from xpnn.model import load as load_model
from xpnn.typing import HostArray

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron

_ATTRIBUTES = (
    "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "loss_", "best_loss_",
    "loss_curve_", "validation_scores_", "best_validation_score_", "validation_loss_curve_", "_no_improvement_count",
    "_judged_by", "_rate", "_history", "_kind", "_sparse_labels",
)  # fmt: skip
_ARRAYS = ("classes_", "feature_names_in_")


def save(estimator: Perceptron, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a model file."""
    model = estimator.to_model()
    given = dict(vars(estimator))
    if is_classifier(estimator):
        labels = estimator._labels
        given |= {"classes_": labels.classes, "_kind": labels.kind, "_sparse_labels": labels.sparse}
    arrays = {
        name: {"dtype": given[name].dtype.str, "values": plain(given[name])} for name in _ARRAYS if name in given
    }
    metadata = {
        "class": type(estimator).__name__,
        "params": {
            name: _described(value) for name, value in estimator.get_params(deep=False).items() if name != "callbacks"
        },
        "attributes": {name: _plain(given[name]) for name in _ATTRIBUTES if name in given},
        "arrays": arrays,
    }
    dataclasses.replace(model, metadata={"estimator": metadata}).save(path)


def load(cls: type[Perceptron], path: str | os.PathLike[str], **where: Any) -> Perceptron:
    """The estimator that was written there."""
    model = load_model(path, **where)
    found = model.metadata.get("estimator")
    if not isinstance(found, dict) or found.get("class") != cls.__name__:
        what = f"an {found['class']}" if isinstance(found, dict) and "class" in found else "a model without estimator"
        raise ModelFileError(f"{path} holds {what}, not an {cls.__name__}: xpnn.load reads any model.")
    try:
        estimator = cls(**{name: _built(value) for name, value in found["params"].items()})
        for name in _ATTRIBUTES:
            if name in found["attributes"]:
                value = found["attributes"][name]
                setattr(estimator, name, np.inf if value == "inf" else -np.inf if value == "-inf" else value)
        for name, array in found["arrays"].items():
            setattr(estimator, name, np.asarray(array["values"], array["dtype"]))
        if is_classifier(estimator):
            kind, sparse = (estimator.__dict__.pop(name) for name in ("_kind", "_sparse_labels"))
            estimator._labels = Labels(estimator.classes_, kind, sparse)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} does not describe an {cls.__name__}: {error!r}.") from error
    estimator._state, estimator._kind_of_state, estimator._taken = None, "", {}
    estimator._keep(Model(model.network, model.params, model.loss))
    if estimator.device is not None and not where:
        try:
            return estimator.to(*inputs.library_and_device(estimator.device))
        except BackendError as error:
            warnings.warn(f"{error} The estimator stays on NumPy.", RuntimeWarning, stacklevel=3)
    return estimator


def plain(labels: HostArray) -> list[Any]:
    """Names as JSON has them: dates and the like as text."""
    return (labels.astype(str) if labels.dtype.kind in "mM" else labels).tolist()


def _described(value: Any) -> Any:
    """A parameter as JSON; callbacks and generators are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return registry.describe(value)
    if isinstance(value, tuple):
        return {"tuple": [_described(each) for each in value]}
    if isinstance(value, list):
        return [_described(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {"mapping": [[_described(k), _described(v)] for k, v in value.items()]}
    return _plain(value) if value is None or isinstance(value, bool | int | float | str) else None


def _built(value: Any) -> Any:
    if isinstance(value, dict):
        if "tuple" in value:
            return tuple(map(_built, value["tuple"]))
        if "mapping" in value:
            return {k: v for k, v in value["mapping"]}  # noqa: C416
        return registry.build(value)
    if isinstance(value, list):
        return [_built(each) for each in value]
    return np.inf if value == "inf" else value


def _plain(value: Any) -> Any:
    """A number as JSON has it: infinity as text."""
    if isinstance(value, float) and np.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value
