"""Checks for parts of one's own: what xpnn's own tests ask of every part of that kind.

Each check runs a part on every array library that can be used here, in float32 and float64, and raises `CheckFailed`
with all that is wrong, in words. It takes a second or two, and belongs into the part's own tests::

    def test_snake():
        xpnn.testing.check_activation(Snake(frequency=2.0))

NumPy is tried twice, once with arrays that are read-only, as JAX's are. ``pip install array-api-strict`` adds a
library that takes nothing but what the Array API standard promises.
"""

from xpnn.testing.activations import check_activation
from xpnn.testing.findings import CheckFailed
from xpnn.testing.layers import check_layer
from xpnn.testing.losses import check_loss
from xpnn.testing.metrics import check_metric
from xpnn.testing.optimizers import check_optimizer
from xpnn.testing.penalties import check_penalty

__all__ = [
    "CheckFailed",
    "check_activation",
    "check_layer",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_penalty",
]
