import json
import os
import pickle
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from xpnn.errors import ModelFileError
from xpnn.files import atomic, tensors

ARRAYS = {"W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.5, -1.0, 2.0])}
HEADER = {"network": {"layers": [1, 2]}, "labels": ["да", "p,q", 3, True, None, 0.1]}


def folder_of(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


@pytest.fixture
def model(tmp_path):
    tensors.write(tmp_path / "model.safetensors", ARRAYS, HEADER)
    return tmp_path / "model.safetensors"


# --- writing whole or not at all


def test_a_new_file_holds_the_data_and_nothing_else_is_left(tmp_path):
    atomic.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert folder_of(tmp_path) == ["file"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    atomic.write(tmp_path / "file", b"new")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_an_existing_file_keeps_its_permissions(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o640)
    atomic.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    atomic.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_link_to_nothing_gets_its_file(tmp_path):
    (tmp_path / "link").symlink_to("file")
    atomic.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_whatever_goes_wrong_the_old_file_stays_and_no_other(tmp_path, monkeypatch, call, error):
    def fail(*_, **__):
        raise error

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(type(error), match=str(error) or None):
        atomic.write(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert folder_of(tmp_path) == ["file"]


def _unwritable(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "regular").write_bytes(b"old")
    os.mkfifo(tmp_path / "pipe")
    return {
        "missing/file": "the folder .*missing does not exist",
        "folder": "is a folder, not a file",
        "regular/file": "regular is not a folder",
        "pipe": "is not a regular file",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["missing/file", "folder", "regular/file", "pipe"])
@pytest.mark.parametrize(
    "function", [atomic.check_writable, lambda path: atomic.write(path, b"new")], ids=["check", "write"]
)
def test_a_place_that_cannot_be_written_says_why_and_stays_as_it_is(tmp_path, name, function):
    message = _unwritable(tmp_path)[name]
    before = folder_of(tmp_path)
    with pytest.raises(OSError, match=message):
        function(tmp_path / name)
    assert folder_of(tmp_path) == before
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "regular").read_bytes() == b"old"


def test_the_check_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    atomic.check_writable(tmp_path / "file")
    atomic.check_writable(tmp_path / "new")
    assert folder_of(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


# --- model files


def test_the_same_model_gives_the_same_file(model):
    first = model.read_bytes()
    for _ in range(10):
        tensors.write(model, ARRAYS, HEADER)
        assert model.read_bytes() == first


def test_arrays_and_header_come_back_bit_by_bit(model):
    arrays, header = tensors.read(model)
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)
    assert header == {**HEADER, "version": tensors.VERSION}


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1]], ids=["T", "step", "back"])
def test_strided_arrays_are_saved_as_what_they_show(tmp_path, view):
    array = view(np.arange(12.0).reshape(3, 4))
    tensors.write(tmp_path / "model", {"a": array}, {})
    assert np.array_equal(tensors.read(tmp_path / "model")[0]["a"], array)


def test_other_programs_can_read_the_arrays(model):
    assert np.array_equal(safetensors.numpy.load_file(model)["W"], ARRAYS["W"])


def test_every_flipped_bit_is_noticed(model):
    whole = model.read_bytes()
    for position in range(len(whole)):
        for bit in (0, 5):
            broken = bytearray(whole)
            broken[position] ^= 1 << bit
            model.write_bytes(broken)
            with pytest.raises(ModelFileError, match=r"broken|damaged|not one that xpnn wrote|newer xpnn"):
                tensors.read(model)


def test_every_truncation_is_noticed(model):
    whole = model.read_bytes()
    for length in range(len(whole)):
        model.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="is not a model file of xpnn, or it is broken"):
            tensors.read(model)


def test_something_appended_is_noticed(model):
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ModelFileError, match="broken"):
        tensors.read(model)


def _reshaped(content, **changes):
    """The model file with W described in another way, over the same bytes."""
    size = struct.unpack("<Q", content[:8])[0]
    head = json.loads(content[8 : 8 + size])
    head["W"] |= changes
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


@pytest.mark.parametrize("changes", [{"shape": [3, 2]}, {"dtype": "I32"}])
def test_the_same_bytes_in_another_shape_or_dtype_are_noticed(model, changes):
    model.write_bytes(_reshaped(model.read_bytes()))
    tensors.read(model)  # the description itself may be written in other words
    model.write_bytes(_reshaped(model.read_bytes(), **changes))
    with pytest.raises(ModelFileError, match="is damaged"):
        tensors.read(model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a model file of xpnn"),
        (b"hello", "is not a model file of xpnn"),
        (pickle.dumps({"W": ARRAYS["W"]}), "is not a model file of xpnn"),
        (safetensors.numpy.save(ARRAYS), "a safetensors file, but not one that xpnn wrote"),
        (safetensors.numpy.save(ARRAYS, {"format": "pt"}), "a safetensors file, but not one that xpnn wrote"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": "{"}), "or it is broken"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": "{}"}), "or it is broken: 'version'"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": "[1]"}), "or it is broken"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": '{"version": null}'}), "or it is broken"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": "[" * 100_000}), "or it is broken"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": '{"version": 1}'}), "or it is broken: 'sha256'"),
        (safetensors.numpy.save(ARRAYS, {"xpnn": '{"version": 1, "sha256": "0"}'}), "is damaged"),
        (
            safetensors.numpy.save(ARRAYS, {"xpnn": '{"version": 99, "sha256": "0"}'}),
            "has format 99; .* install a newer xpnn",
        ),
    ],
    ids=range(13),
)
def test_a_foreign_file_says_what_it_is_not(tmp_path, content, message):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        tensors.read(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value)


def test_a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "model").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelFileError, match="is not a model file of xpnn"):
        tensors.read(tmp_path / "model")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_model_file_or_a_folder_says_so(tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot read .*missing: No such file or directory\.$"):
        tensors.read(tmp_path / "missing")
    with pytest.raises(ModelFileError, match=r"cannot read .*: Is a directory\.$"):
        tensors.read(tmp_path)


@pytest.mark.parametrize("function", [tensors.check_writable, lambda path: tensors.write(path, ARRAYS, HEADER)])
def test_a_model_that_cannot_be_written_says_why(tmp_path, function):
    with pytest.raises(ModelFileError, match=r"cannot write .*: the folder .*missing does not exist\.$"):
        function(tmp_path / "missing" / "model")


def test_a_header_that_is_no_json_leaves_the_old_file(model):
    before = model.read_bytes()
    with pytest.raises(ModelFileError, match="cannot write .*not JSON serializable"):
        tensors.write(model, ARRAYS, {"bad": object()})
    assert model.read_bytes() == before
