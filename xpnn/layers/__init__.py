"""Layers, one file per family."""

from xpnn.layers.base import Context, Layer, registry
from xpnn.layers.dense import Dense

__all__ = ["Context", "Dense", "Layer", "registry"]
