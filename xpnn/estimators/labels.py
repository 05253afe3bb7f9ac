"""The classes of a classifier: learned from y, checked, encoded, and given back in the library of an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils.multiclass import type_of_target, unique_labels

from xpnn import arrays, backends
from xpnn.estimators import inputs
from xpnn.typing import Array, HostArray


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes on the host, in order, and where they come from.

    Attributes
    ----------
    classes : ndarray, shape (k,)
    kind : str
        What scikit-learn calls targets of this type: ``"binary"``, ``"multiclass"``, ``"multilabel-indicator"``.
    sparse : bool
        Whether several labels came as a sparse matrix.
    """

    classes: HostArray
    kind: str
    sparse: bool = False

    @classmethod
    def of(cls, y: HostArray) -> Labels:
        """Those that y has.

        Raises
        ------
        ValueError
            If y has several columns of classes, or of several labels other numbers than 0 and 1.
        """
        kind = type_of_target(y, input_name="y")
        if "multioutput" in kind:
            raise ValueError("Multioutput target data is not supported: give one column of classes, or 0 and 1.")
        if kind == "multilabel-indicator":
            numbers = y.data if hasattr(y, "toarray") else y
            if strange := set(np.unique(numbers).tolist()) - {0, 1}:
                raise ValueError(f"y of several labels must hold 0 and 1 alone, but holds {sorted(strange)} as well.")
        return cls(unique_labels(y), kind, hasattr(y, "toarray"))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.classes)

    @property
    def several(self) -> bool:
        """Whether a sample may have several at once."""
        return self.kind.startswith("multilabel")

    def check(self, y: HostArray, *, all_of_them: bool) -> None:
        """Raise `ValueError` unless y is of the same kind and has no other classes; `all_of_them`, nor fewer."""
        if type_of_target(y).startswith("multilabel") != self.several:
            raise ValueError(f"The estimator was fitted with {self.kind} targets, and y is {type_of_target(y)} now.")
        classes = unique_labels(y)
        if all_of_them:
            if set(classes) != set(self.classes):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. 'y' has {classes}."
            )

    def encoded(self, y: HostArray, *, numbers: bool) -> HostArray:
        """Y as losses take it: numbers of more than two classes, (n,), or a column for each; else 0 and 1, (n, k)."""
        if self.kind == "multiclass":
            found = np.searchsorted(self.classes, y)
            return found if numbers else np.eye(len(self))[found]
        if self.kind == "binary":
            return np.asarray(y == self.classes[-1])[:, None] & (len(self) > 1)  # one class: nothing is of the other
        return y.toarray() if hasattr(y, "toarray") else y

    def decided(self, output: Array) -> Any:
        """The classes that outputs speak for, in their library, on the host if that does not have these classes.

        Parameters
        ----------
        output : array, shape (n, k)
            The probability of each class or label; of the second of two classes, (n, 1).
        """
        xp, foreign = arrays.namespace(output=output), inputs.namespace_of(output) is not None
        if self.kind == "multiclass":
            return self._taken(xp.argmax(output, axis=1), output)
        found = xp.astype(output > 0.5, arrays.default_integer(xp))
        if not self.several:
            return self._taken(found[:, 0] * min(1, len(self) - 1), output)
        if foreign or not self.sparse:
            return found
        from scipy.sparse import csr_matrix

        return csr_matrix(found)

    def _taken(self, numbers: Array, output: Array) -> Any:
        """The classes, (n,), of these numbers."""
        there = None if inputs.namespace_of(output) is None else self.like(output)
        if there is None:
            return self.classes[backends.of(output).to_host(numbers)]
        return backends.of(output).rows(there, numbers, arrays.namespace(output=output))

    def like(self, array: Array) -> Array | None:
        """The classes, (k,), where an array is; None if its library does not have them to the digit."""
        if self.classes.dtype.kind not in "biuf":
            return None
        there = inputs.there(self.classes, X=array)
        kept = self.classes.astype(inputs.dtype_name(there))  # JAX, unless told otherwise, has 32 bits
        return there if np.array_equal(kept, self.classes) else None

    def beside(self, values: Any) -> Any:
        """The classes, (k,), where values are: on the host unless those are an array whose library has them."""
        there = None if inputs.namespace_of(values) is None else self.like(values)
        return self.classes if there is None else there

    def shown(self, y: Any) -> Any:
        """The classes in y's library where scikit-learn works in it, on the host elsewhere."""
        return self.beside(y) if get_config()["array_api_dispatch"] else self.classes
