"""README is a promise: its snippets print what it says, its commands run."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xpnn.cli import main

from .conftest import LIBRARIES

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
PYTHON = [body for language, body in BLOCKS if language == "python"]
OUTPUT = [body for language, body in BLOCKS if language == "text"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines() if line.strip()]
INSTALLING = COMMANDS[:2]  # run, word for word, by .ci/run in a fresh environment
USING = COMMANDS[2:]


def run_python(snippets) -> list[str]:
    names: dict = {}
    printed = []
    for snippet in snippets:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(snippet, "README.md", "exec"), names)
        printed.append(out.getvalue())
    return printed


def test_every_python_snippet_prints_what_readme_says(folder):
    for line in COMMANDS:
        if line.startswith("xpnn train") and "wine" in line:
            assert main(shlex.split(line)[1:]) == 0
    assert len(PYTHON) == len(OUTPUT) >= 3
    assert run_python(PYTHON) == OUTPUT


def test_the_one_line_that_changes_for_a_gpu(tmp_path, monkeypatch):
    if "cupy" not in LIBRARIES:
        pytest.skip("CuPy cannot be used here")
    monkeypatch.chdir(tmp_path)
    changed = PYTHON[0].replace("import numpy as xp ", "import cupy as xp ")
    assert changed != PYTHON[0]
    first, second = run_python([changed, PYTHON[1]])
    assert "(n, 3)" in first
    assert second.splitlines()[-1].endswith("cupy float32 on cuda:0)")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in that has the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_two_commands_install_and_are_the_ones_that_ci_runs():
    train, tests = INSTALLING
    assert train.startswith('pip install ".[cli]" && xpnn train ')
    assert tests == 'pip install -e ".[test]" && python -m pytest'
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_commands_of_the_first_one_run(folder, capsys):
    _, *parts = INSTALLING[0].removesuffix(" | head").split(" && ")
    for part in parts:
        program, *arguments = shlex.split(part)
        assert program == "xpnn"
        assert main(arguments) == 0
    assert "diagnosis,P(benign),P(malignant)\nmalignant,0.0" in capsys.readouterr().out


def test_every_other_command_runs(folder, capsys):
    for line in USING:
        program, *arguments = shlex.split(line)
        if program == "python":  # the examples have a test each
            assert (ROOT / arguments[0]).is_file()
            continue
        assert program == "xpnn"
        assert main(arguments) == 0, line
        assert any(capsys.readouterr()), line
    assert (folder / "predictions.csv").read_text().startswith("cultivar,P(class_0),P(class_1),P(class_2)\n")


def test_every_file_and_name_that_readme_mentions_exists():
    import xpnn

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:xpnn|examples)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"\bxpnn\.(\w+)\(", text):
        assert hasattr(xpnn, name), name


def test_every_extra_that_readme_mentions_exists():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    mentioned = set(re.findall(r'"\.\[(\w+)\]"', (ROOT / "README.md").read_text(encoding="utf-8")))
    assert mentioned == set(extras) - {"lint"}


def test_python_m_xpnn_is_the_command_line():
    out = subprocess.run([sys.executable, "-m", "xpnn", "--version"], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("xpnn, version ")
