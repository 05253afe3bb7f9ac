"""Machine code in files: that it is found again, and that none is run that is damaged or may be somebody else's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from xpnn.compiler import llvm, store

needs_llvm = pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where files are kept, to begin with not there."""
    monkeypatch.setenv("XPNN_CACHE_DIR", str(tmp_path / "new" / "kept"))
    return tmp_path / "new" / "kept"


def test_what_was_written_is_read_again(folder):
    assert store.read("a") is None
    store.write("a", b"first")
    store.write("b", b"")
    store.write("a", b"second")
    assert (store.read("a"), store.read("b")) == (b"second", b"")
    assert sorted(each.name for each in folder.iterdir()) == ["a", "b"]
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:10], lambda b: b[:-1] + b"\0"])
def test_a_damaged_file_counts_as_none(folder, damage):
    store.write("a", b"content")
    (folder / "a").write_bytes(damage((folder / "a").read_bytes()))
    assert store.read("a") is None
    store.write("a", b"content")
    assert store.read("a") == b"content"


def test_the_oldest_go(folder, monkeypatch):
    monkeypatch.setattr(store, "MOST", 3)
    for i in range(5):
        store.write(str(i), b"x")
        os.utime(folder / str(i), (i, i))
    assert sorted(each.name for each in folder.iterdir()) == ["2", "3", "4"]


def test_nothing_is_kept_if_asked_so(folder, monkeypatch):
    store.write("a", b"content")
    monkeypatch.setenv("XPNN_CACHE_DIR", "")
    store.write("b", b"content")
    assert store.read("a") is store.read("b") is None
    assert [each.name for each in folder.iterdir()] == ["a"]


def test_without_the_variable_it_is_the_systems_folder(tmp_path, monkeypatch):
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.delenv("XPNN_CACHE_DIR")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    store.write("a", b"content")
    assert store.read("a") == b"content"
    assert (tmp_path / "xpnn" / "a").exists()
    monkeypatch.setitem(sys.modules, "platformdirs", None)  # not installed
    assert store.read("a") is None
    store.write("b", b"content")


def test_a_place_that_cannot_be_used_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "kept"):
        monkeypatch.setenv("XPNN_CACHE_DIR", str(place))
        store.write("a", b"content")
        assert store.read("a") is None


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_not_used(folder, mode):
    store.write("a", b"content")
    folder.chmod(mode)
    assert store.read("a") is None
    store.write("b", b"content")
    assert not (folder / "b").exists()


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    store.write("a", b"content")
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", full)
        store.write("a", b"other")
        store.write("b", b"other")
    assert [each.name for each in folder.iterdir()] == ["a"]
    assert store.read("a") == b"content"


# compiled functions

ADD = """
declare i64 @xpnn_test()
define void @kernel(ptr %x) {
  %one = call i64 @xpnn_test()
  %old = load i64, ptr %x
  %new = add i64 %old, %one
  store i64 %new, ptr %x
  ret void
}
"""


def added(number):
    """What the function adds, with one that gives this number."""
    give = ctypes.CFUNCTYPE(ctypes.c_int64)(lambda: number)
    address = ctypes.cast(give, ctypes.c_void_p).value
    x = ctypes.c_int64(5)
    llvm.compiled.__wrapped__(ADD, ctypes.c_void_p, xpnn_test=address)(ctypes.addressof(x))
    return x.value - 5


@needs_llvm
def test_a_function_is_compiled_once_and_calls_what_it_is_told_to_now(folder, monkeypatch):
    written, write = [], store.write
    monkeypatch.setattr(store, "write", lambda *args: written.append(args) or write(*args))
    assert [added(n) for n in (1, 7, -3)] == [1, 7, -3]
    assert len(written) == 1
    (file,) = folder.iterdir()
    file.write_bytes(b"nonsense")
    assert added(2) == 2
    assert len(written) == 2


@needs_llvm
def test_another_version_has_files_of_its_own(folder, monkeypatch):
    added(1)
    monkeypatch.setattr("llvmlite.__version__", "0.0")
    added(1)
    assert len(list(folder.iterdir())) == 2


TRAIN = """
import hashlib
import numpy as np
import xpnn
from xpnn.compiler import exchange, store
exchange.Exchange.streams = lambda self: False  # whichever way is faster at the moment: each has kernels of its own
written, write = [], store.write
store.write = lambda *args: written.append(args) or write(*args)
rng = np.random.default_rng(0)
X, y = rng.normal(size=(500, 60)).astype("float32"), rng.integers(0, 5, 500)
model = xpnn.fit(xpnn.mlp([60, 200, 5], output="softmax"), X, y, epochs=3, batch_size=200, optimizer=xpnn.Adam())
print(len(written), hashlib.sha256(model.params.tobytes()).hexdigest())
"""


@needs_llvm
def test_the_next_process_compiles_nothing_and_trains_the_same(folder):
    def train():
        command = [sys.executable, "-c", TRAIN]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        compiled, digest = done.stdout.split()
        return int(compiled), digest

    first, second = train(), train()
    assert first[0] > 5
    assert second[0] == 0
    assert first[1] == second[1]
