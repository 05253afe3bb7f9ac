"""The examples run as they are, and do what they say."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import bench
from xpnn.cli import main

from .conftest import LIBRARIES

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, tmp_path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_learn_sleep(tmp_path):
    printed = run("learn_sleep.py", tmp_path)
    assert "Network 2-4-1" in printed
    for loss in ("mse", "binary_crossentropy"):
        first, last = map(float, re.search(rf"{loss}: loss (\S+) → (\S+) in", printed).groups())
        assert last < first / 2
    assert all(float(share) > 85 for share in re.findall(r"right on (\S+)%", printed))


def test_digits(tmp_path):
    pytest.importorskip("sklearn")
    accuracy = re.search(r"test accuracy (\S+)%", run("digits.py", tmp_path))[1]
    assert float(accuracy) >= 97


def test_train_on_gpu_says_where_it_trains(tmp_path):
    printed = run("train_on_gpu.py", tmp_path)
    assert f"training on {'cuda:0 with CuPy' if 'cupy' in LIBRARIES else 'the CPU with NumPy'}" in printed
    assert float(re.search(r"accuracy (\S+)%", printed)[1]) > 98


def test_search_pipeline(tmp_path):
    pytest.importorskip("polars")
    printed = run("search_pipeline.py", tmp_path)
    assert float(re.search(r"cross-validation: (\S+)%", printed)[1]) > 95
    assert (
        float(
            re.search(r"test accuracy (\S+)%, classes B, M|test accuracy (\S+)%", printed)[0]
            .split()[2][:-1]
            .rstrip("%,")
        )
        > 93
    )


def test_estimator_on_gpu_says_where_it_trains(tmp_path):
    printed = run("estimator_on_gpu.py", tmp_path)
    assert f"trained on {'cuda:0' if 'cupy' in LIBRARIES else 'the CPU'}" in printed
    assert float(re.search(r"accuracy (\S+)%", printed)[1]) > 95
    assert float(re.search(r"moved to NumPy: (\S+)%", printed)[1]) > 95


def test_the_benchmark_of_the_estimators_prints_its_table_and_writes_its_figures(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "benchmark_estimators.py", "--quick", "--out", tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["work", "dtype", "scikit-learn,", "ms", "xpnn,", "ms", "ratio"]
    assert len(rows) == 1 + 8 + 8
    document = json.loads((tmp_path / "estimators-1.json").read_text(encoding="utf-8"))
    assert len(document["results"]) == 16
    assert all(each["ratio"] > 0 for each in document["results"])


def load(name: str):
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("part", ["steps", "arrays", "predict", "fit", "growth"])
def test_each_part_of_the_benchmark_prints_its_table_and_writes_its_figures(part, tmp_path, capsys, monkeypatch):
    """On xpnn and scikit-learn alone: compiling PyTorch's rows takes minutes."""
    pytest.importorskip("sklearn")
    script, find = load("benchmark_peers.py"), bench.find
    monkeypatch.setattr(bench, "find", lambda names, peers=(), **how: find(names, {"sklearn"} & {*peers}, **how))
    monkeypatch.setattr(sys, "argv", ["", part, "--quick", "--seconds", "0.02", "--run", "7", "--out", str(tmp_path)])
    script.main()
    title, _, header, *lines = capsys.readouterr().out.splitlines()
    assert title == part
    assert header.split()
    assert lines or "torch" not in LIBRARIES
    document = json.loads((tmp_path / f"{part}-7.json").read_text(encoding="utf-8"))
    assert document["results"]
    assert document["machine"]["cores"] >= 1


def test_readme_s_table_is_what_was_measured():
    table = load("benchmark_peers.py").readme_table(EXAMPLES / "results")
    assert len(table.splitlines()) == 7
    assert table in (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")


def test_the_peak_memory_of_a_training_run_is_above_its_activations():
    script = load("benchmark_peers.py")
    workload = script.WORKLOADS[1]
    for program in ("xpnn", "torch")[: 1 + ("torch" in LIBRARIES)]:
        run, whole = script.peak_of(program, 1, 1000)
        assert whole > run > 4 * workload.network.n_parameters


@pytest.mark.parametrize(("table", "target"), [("breast_cancer.csv", "diagnosis"), ("wine.csv", "cultivar")])
def test_the_real_tables_are_learned_through_the_command_line(table, target, tmp_path, capsys):
    path = str(EXAMPLES / "data" / table)
    assert main(["train", path, "--target", target, "--out", str(tmp_path / "m.safetensors")]) == 0
    accuracy = re.search(r"validation +accuracy (\S+)%", capsys.readouterr().out)[1]
    assert float(accuracy) >= 94


def test_the_tables_are_what_their_script_writes(tmp_path):
    pytest.importorskip("sklearn")
    script = load("data/make_tables.py")
    assert script.learn_sleep().write_csv() == (EXAMPLES / "data" / "learn_sleep.csv").read_text()
    wine = script.real(script.load_wine(), "cultivar").write_csv()
    assert wine == (EXAMPLES / "data" / "wine.csv").read_text()
    cancer = script.real(script.load_breast_cancer(), "diagnosis").write_csv()
    assert cancer == (EXAMPLES / "data" / "breast_cancer.csv").read_text()


def test_the_docstring_example_of_fit_is_true():
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
    model = xpnn.fit(xpnn.mlp([1, 1]), X, y, optimizer=xpnn.SGD(0.2), epochs=200)
    assert model.predict(np.array([[10.0]])).round(2).tolist() == [[21.0]]
