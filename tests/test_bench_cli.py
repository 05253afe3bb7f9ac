"""xpnn bench on the command line: what it prints, writes, refuses, and what it does after Ctrl-C."""

import dataclasses
import json
import re
import sys

import pytest

from xpnn.bench import contenders

pytest.importorskip("click")
pytest.importorskip("polars")

from xpnn.cli import bench as command
from xpnn.cli import main

QUICK = ("bench", "--network", "4,6,3", "--batch", "8", "--seconds", "0.01", "--backends", "numpy")


@pytest.fixture
def run(capsys):
    def call(*words, start=QUICK):
        capsys.readouterr()
        code = main([*start, *map(str, words)])
        return code, *capsys.readouterr()

    return call


def test_it_prints_the_table(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("4-6-3, batch 8, float32, training with adam\n\nprogram ")
    assert re.search(r"^xpnn \(numpy\) +cpu +compiled +[\d.]+ +[\d.]+-[\d.]+ .* 1.00$", out, re.MULTILINE)


def test_every_library_and_peer_here_has_its_row(run):
    code, out, err = run("--backends", "all", "--compare", "jax,sklearn", "--optimizer", "sgd")
    assert code == 0
    assert "Traceback" not in err
    for name in ("torch", "jax"):
        if name in sys.modules:
            assert f"xpnn ({name}) " in out
    assert "sklearn" in out + err  # a row, or the line that it is not installed


def test_predictions_in_float64(run):
    code, out, _ = run("--predict", "--dtype", "float64")
    assert code == 0
    assert out.startswith("4-6-3, batch 8, float64, prediction\n")


def test_the_json_and_the_plot_are_written(run, tmp_path):
    words = ["--json", tmp_path / "b.json"]
    if drawn := pytest.importorskip("importlib.util").find_spec("matplotlib"):
        words += ["--plot", tmp_path / "b.png"]
    assert run(*words)[0] == 0
    document = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert document["sweep"] is None
    assert document["results"][0]["rows"][0]["program"] == "xpnn"
    if drawn:
        assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_has_a_line_per_batch_and_says_who_is_fastest(run, tmp_path):
    code, out, _ = run("--sweep", "batch", "--json", tmp_path / "s.json")
    assert code == 0
    assert re.findall(r"^ *(\d+) ", out, re.MULTILINE) == ["1", "4", "16", "64", "256", "1024", "4096", "16384"]
    assert out.endswith("xpnn (numpy) on cpu is fastest from batch 1 to 16384.\n")
    document = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert document["sweep"]["over"] == "batch"
    assert len(document["results"]) == 8


def test_an_unknown_one_among_several_is_a_line_and_the_others_run(run):
    code, out, err = run("--backends", "nunpy,numpy", "--compare", "tensorflow")
    assert code == 0
    assert "xpnn (numpy)" in out
    lines = err.splitlines()
    assert lines[0].startswith("xpnn: unknown backend 'nunpy'. Did you mean 'numpy'? Valid: ")
    assert lines[1].startswith("xpnn: unknown peer 'tensorflow'. ")


def test_a_batch_that_does_not_fit_is_a_line(run):
    code, out, err = run("--batch", 10**14)
    assert (code, out) == (2, "")
    assert "xpnn (numpy) on cpu: out of memory" in err
    assert err.endswith("xpnn: nothing could be timed.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backends", "nunpy"], "nothing to time: no library of --backends or --compare can be used here"),
        (["--network", "784"], "the network must be at least two whole numbers >= 1, such as 784,512,10; got '784'"),
        (["--network", "4,1"], "must end in at least 2 classes"),
        (["--network", "4,x,2"], "must be node counts"),
        (["--network", "4,-1,2"], "at least two whole numbers >= 1"),
        (["--optimizer", "adan"], "unknown optimizer 'adan'. Did you mean 'adam'"),
        (["--batch", "0"], "--batch"),
        (["--seconds", "0"], "--seconds"),
        (["--network", "4,3", "--sweep", "width"], "no width to change"),
        (["--json", "nowhere/b.json"], "cannot write nowhere/b.json: the folder .*nowhere does not exist"),
        (["--plot", "b.txt"], "b.txt: a plot is written as .png"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(run, words, message, monkeypatch):
    monkeypatch.setattr("xpnn.bench.rows.in_turns", None)  # would be called to measure
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert re.search(message, err), err
    assert err.splitlines()[-1].startswith("xpnn: ")
    assert "Traceback" not in err


def test_ctrl_c_prints_what_was_measured_so_far(run, monkeypatch, tmp_path):
    own = contenders.of_xpnn("numpy", "cpu", contenders.Way("eager"))
    turns = 0

    def prepare(workload):
        steps = own.prepare(workload)

        def run(n):
            nonlocal turns
            turns += 1
            if turns == 40:
                raise KeyboardInterrupt
            return steps(n)

        return run

    monkeypatch.setattr(contenders, "of_xpnn", lambda *_: dataclasses.replace(own, prepare=prepare))
    code, out, err = run("--seconds", 30, "--json", tmp_path / "b.json")
    assert code == 130
    assert "xpnn (numpy)" in out
    assert err == "xpnn: interrupted; what is above is all that was timed\n"
    assert json.loads((tmp_path / "b.json").read_text())["results"][0]["interrupted"] is True


def test_the_options_are_those_of_the_command():
    from xpnn.cli.commands import xpnn

    given = {parameter.name for parameter in xpnn.commands["bench"].params}
    assert given == {field.name for field in dataclasses.fields(command.Options)}


def test_the_command_line_loads_the_benchmark_only_when_it_is_asked_for():
    import subprocess

    code = "import sys, xpnn.cli.commands; print([m for m in sys.modules if m.startswith('xpnn.bench')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
