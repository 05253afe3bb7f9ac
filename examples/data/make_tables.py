"""Write the CSV files of this folder: one synthetic, two real ones that scikit-learn ships.

Run from anywhere; needs scikit-learn. README.md in this folder says where the real ones come from.
"""

from pathlib import Path

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer, load_wine

HERE = Path(__file__).parent


def learn_sleep(n: int = 200, seed: int = 0) -> pl.DataFrame:
    """Hours of learning and sleep, and whether the exam was passed: SYNTHETIC, drawn from a rule with noise."""
    rng = np.random.default_rng(seed)
    learn, sleep = rng.uniform(0, 10, n), rng.uniform(3, 10, n)
    chance = 1 / (1 + np.exp(-(1.2 * (learn - 5) + 0.8 * (sleep - 6.5))))
    passed = (rng.uniform(size=n) < chance).astype(int)
    return pl.DataFrame({"Learn": learn.round(1), "Sleep": sleep.round(1), "Is_Pass": passed})


def real(bunch, target: str) -> pl.DataFrame:
    """A table with one column per feature and the class by its name."""
    columns = {name.replace(" ", "_"): bunch.data[:, i] for i, name in enumerate(bunch.feature_names)}
    return pl.DataFrame({**columns, target: bunch.target_names[bunch.target].tolist()})


if __name__ == "__main__":
    learn_sleep().write_csv(HERE / "learn_sleep.csv")
    real(load_breast_cancer(), "diagnosis").write_csv(HERE / "breast_cancer.csv")
    real(load_wine(), "cultivar").write_csv(HERE / "wine.csv")
