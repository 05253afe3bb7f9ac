"""xpnn's classifier where scikit-learn's stood: in a pipeline, scored by cross-validation, searched over a grid."""

import warnings
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpnn import MLPClassifier  # from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # short trainings on purpose

table = pl.read_csv(Path(__file__).parent / "data" / "breast_cancer.csv")
X, y = table.drop("diagnosis"), table["diagnosis"].to_numpy()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)

model = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=80, random_state=0))
scores = cross_val_score(model, X_train, y_train, cv=5)
print(f"cross-validation: {np.mean(scores):.1%} ± {np.std(scores):.1%}")

grid = {
    "mlpclassifier__hidden_layer_sizes": [(16,), (32, 16)],
    "mlpclassifier__activation": ["relu", "gelu"],  # gelu, dropout: xpnn's own
    "mlpclassifier__dropout": [0.0, 0.2],
}
search = GridSearchCV(model, grid, cv=3).fit(X_train, y_train)
print("best:", {name.removeprefix("mlpclassifier__"): value for name, value in search.best_params_.items()})
print(f"test accuracy {search.score(X_test, y_test):.1%}, classes {', '.join(search.classes_)}")
