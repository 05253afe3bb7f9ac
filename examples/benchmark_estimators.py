"""xpnn's classifier beside scikit-learn's: the same parameters, the same results, how long each takes, in turns.

    python examples/benchmark_estimators.py [--quick] [--run N] [--out FOLDER]

Each row is a ratio of medians: scikit-learn's time over xpnn's, so above 1 xpnn is faster. The figures go to
FOLDER/estimators-N.json with the machine and versions. Needs scikit-learn: pip install ".[sklearn,fast]".
"""

import argparse
import functools
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_digits

import xpnn
from xpnn import text
from xpnn.bench import report

ROWS = (1, 1_000, 100_000)
REST = 0.2


def fits(quick):
    """(name, X, y, parameters): what is trained."""
    rng = np.random.default_rng(0)
    digits, labels = load_digits(return_X_y=True)
    cancer, kinds = load_breast_cancer(return_X_y=True)
    small = rng.normal(size=(20, 2))
    yield "digits, (100,)", digits / 16, labels, {"hidden_layer_sizes": (100,), "max_iter": 5 if quick else 200}
    yield "digits, (100,), 50 epochs", digits / 16, labels, {"hidden_layer_sizes": (100,), "max_iter": 50}
    yield "20 x 2, (4,), 200 epochs", small, (small.sum(axis=1) > 0).astype(int), {
        "hidden_layer_sizes": (4,), "max_iter": 200, "n_iter_no_change": 1000,
    }  # fmt: skip
    yield "breast cancer, (100,), lbfgs", (cancer - cancer.mean(axis=0)) / cancer.std(axis=0), kinds, {
        "hidden_layer_sizes": (100,), "solver": "lbfgs", "alpha": 0.01,
    }  # fmt: skip
    if not quick:
        X, y = rng.normal(size=(60_000, 784)), rng.integers(0, 10, 60_000)
        yield "60,000 x 784, (512, 512), batch 256, 1 epoch", X, y, {
            "hidden_layer_sizes": (512, 512), "batch_size": 256, "max_iter": 1,
        }  # fmt: skip


def in_turns(theirs, ours, turns):
    """Seconds of each, turn by turn; the first of each is not counted.

    Each begins when the threads of the other have come to rest: OpenBLAS's spin for up to 0.1 s after a product, and
    would take from one what the other has left running.
    """
    theirs(), ours()
    taken = ([], [])
    for _ in range(turns):
        for run, seconds in zip((theirs, ours), taken, strict=True):
            time.sleep(REST)
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return taken


def repeat(function, argument, times):
    for _ in range(times):
        function(argument)


def compare(name, dtype, theirs, ours, turns):
    a, b = in_turns(theirs, ours, turns)
    ratio = statistics.median(a) / statistics.median(b)
    print(f"{name} {dtype}: {ratio:.2f}", file=sys.stderr)
    return {"work": name, "dtype": dtype, "ratio": ratio, "scikit_learn": a, "xpnn": b}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little work and few turns: to see that it runs")
    parser.add_argument("--run", type=int, default=1, metavar="N", help="the number in the file's name")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # not to have converged is no news here
    found = []
    for name, X, y, parameters in fits(options.quick):
        turns = 2 if options.quick else 3 if len(X) > 10_000 else 9
        for dtype in ("float32", "float64"):
            data = X.astype(dtype)
            runs = [
                lambda cls=cls, data=data, y=y, p=parameters: cls(random_state=0, **p).fit(data, y)
                for cls in (neural_network.MLPClassifier, xpnn.MLPClassifier)
            ]
            found.append(compare(f"fit: {name}", dtype, *runs, turns))
    digits, labels = load_digits(return_X_y=True)
    for dtype in ("float32", "float64"):
        X = (digits / 16).astype(dtype)
        models = [
            cls((100,), max_iter=5, random_state=0).fit(X, labels)
            for cls in (neural_network.MLPClassifier, xpnn.MLPClassifier)
        ]
        for rows in ROWS[: 2 if options.quick else None]:
            some = np.tile(X, (60, 1))[:rows]
            for method in ("predict", "predict_proba"):
                often = max(1, 200 // rows)
                runs = [functools.partial(repeat, getattr(model, method), some, often) for model in models]
                turns = 3 if options.quick else 9 if rows > 10_000 else 31
                found.append(compare(f"{method}: {rows:,} rows", dtype, *runs, turns))
    lines = [("work", "dtype", "scikit-learn, ms", "xpnn, ms", "ratio")]
    for each in found:
        ms = (f"{1e3 * statistics.median(each[name]):.3g}" for name in ("scikit_learn", "xpnn"))
        lines.append((each["work"], each["dtype"], *ms, f"{each['ratio']:.2f}"))
    print(text.columns(lines, right={2, 3, 4}))
    options.out.mkdir(parents=True, exist_ok=True)
    document = report.document([], seconds=0.0) | {"results": found}
    (options.out / f"estimators-{options.run}.json").write_bytes(report.to_bytes(document))


if __name__ == "__main__":
    main()
