"""Layers, one file per family."""

from xpnn.layers.base import Context, Layer, registry
from xpnn.layers.dense import Dense
from xpnn.layers.dropout import Dropout
from xpnn.layers.normalization import BatchNormalization, LayerNormalization

__all__ = ["BatchNormalization", "Context", "Dense", "Dropout", "Layer", "LayerNormalization", "registry"]
