"""Estimators with scikit-learn's interface."""

from xpnn.estimators.classifier import MLPClassifier
from xpnn.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
