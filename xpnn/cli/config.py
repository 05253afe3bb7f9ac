"""Options from a file, and back: another way to write the words of the command line, which wins over the file."""

from __future__ import annotations

import difflib
import json
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from xpnn.cli.options import DATA, GROUPS, defaults, flag
from xpnn.cli.types import ClassWeights, Commas
from xpnn.errors import InputError

_FORMATS = (".toml", ".yaml", ".yml", ".json")


def read(context: click.Context, option: click.Parameter, paths: Sequence[Path]) -> None:
    """Make what files hold, the later winning, the defaults of a command: the callback of its option ``--config``.

    Keys are the options' names, with dashes or underscores, alone or in tables named as the groups of the help.

    Raises
    ------
    InputError
        If a file cannot be read, a key is no option, or a value is not of its kind; naming file and key.
    """
    words: dict[str, Any] = {}
    for path in paths:
        words |= _options(context, path)
    if words:
        context.default_map = words


def _options(context: click.Context, path: Path) -> dict[str, Any]:
    known = {_key(flag(param)): param for group in GROUPS.values() for param in group} | {"data": DATA}
    words: dict[str, Any] = {}
    for written, value in _flat(path, _document(path)):
        param = known.get(_key(written))
        if param is None:
            # a table is meant as one of a group of options
            possible = [heading.lower() for heading in GROUPS] if isinstance(value, Mapping) else known
            nearest = difflib.get_close_matches(_key(written), possible, n=1, cutoff=0.5)
            kind = "table" if isinstance(value, Mapping) else "option"
            guess = f"did you mean {nearest[0].replace('_', '-')!r}?" if nearest else "see 'xpnn train --help'."
            raise InputError(f"{path}: there is no {kind} {written!r}: {guess}")
        if param.name in words:
            raise InputError(f"{path}: {written!r} is given twice.")
        try:
            words[str(param.name)] = _words(param, value)
            param.type_cast_value(context, words[str(param.name)])
        except click.BadParameter as error:
            raise InputError(f"{path}: {written}: {error.message}") from error
    return words


CONFIG = click.Option(
    ["--config"],
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=read,
    help="Options by their names, alone or in tables such as [network]: TOML, YAML or JSON; of several "
    "files the later ones win.",
)


def changed(options: Mapping[str, Any], width: int = 90) -> list[str]:
    """Options of a model file that differ from the defaults, as on the command line, in lines of about a width."""
    usual, lines = defaults(), [""]
    for option in (option for group in GROUPS.values() for option in group if not option.required):
        value = options.get(str(option.name))
        if value in (None, usual[str(option.name)]):
            continue
        for each in value if option.multiple and isinstance(value, list) else [value]:
            words = flag(option) if each is True else f"{flag(option)} {shlex.quote(_on_the_line(each))}"
            if lines[-1] and len(lines[-1]) + len(words) >= width:
                lines.append("")
            lines[-1] = f"{lines[-1]} {words}".strip()
    return lines if lines[0] else []


def to_toml(options: Mapping[str, Any]) -> str:
    """Options of a model file as TOML that `read` takes, in a table for each group."""
    try:
        import tomli_w
    except ImportError:
        raise InputError("writing TOML needs tomli-w: pip install 'xpnn[cli]'.") from None
    usual, tables = defaults(), {}
    for heading, group in GROUPS.items():
        table = {}
        for option in group:
            value = options.get(str(option.name))
            nothing = isinstance(value, bool | list) and not value and value == usual[str(option.name)]
            if value is None or nothing:
                continue
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            elif isinstance(value, list) and isinstance(option.type, Commas):
                value = _on_the_line(value)
            table[flag(option).lstrip("-")] = value
        if table:
            tables[heading.lower()] = table
    try:
        return tomli_w.dumps(tables)
    except (TypeError, ValueError) as error:
        raise InputError(f"the options are broken: {error}.") from error


def _on_the_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_on_the_line(weight)}" for name, weight in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else str(value)  # whatever is shown gives the same number


def _key(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _document(path: Path) -> Mapping[str, Any]:
    """What the file holds, by its ending."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error
    suffix = path.suffix.lower()
    if suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is not TOML: {error}.") from error
    if suffix == ".json":
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} is not JSON: {error}.") from error
    elif suffix in _FORMATS:
        document = _yaml(path, text)
    else:
        raise InputError(f"--config {path}: the file's name must end in {', '.join(_FORMATS)}.")
    if not isinstance(document, Mapping):
        raise InputError(f"{path} must hold options by name, such as 'epochs: 50'.")
    return document


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise InputError(f"{path}: YAML needs PyYAML: pip install 'xpnn[yaml]', or write TOML.") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError(f"{path} is not YAML: {getattr(error, 'problem', None) or error}{where}.") from error


def _flat(path: Path, document: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Keys and values, those in the tables of groups too."""
    groups = {heading.lower() for heading in GROUPS}
    pairs: list[tuple[str, Any]] = []
    for key, value in document.items():
        if str(key).lower() in groups and isinstance(value, Mapping):
            pairs += [(str(k), v) for k, v in value.items()]
        else:
            pairs.append((str(key), value))
    return pairs


def _words(param: click.Parameter, value: Any) -> Any:
    """A value of the file as the command line would have it: text, and for flags true or false."""
    is_flag, many = getattr(param, "is_flag", False), getattr(param, "multiple", False)
    if is_flag or isinstance(value, bool):
        if is_flag and isinstance(value, bool):
            return value
        raise click.BadParameter(f"must be {'true or false' if is_flag else 'a value'}, got {_shown(value)}.")
    if isinstance(value, Mapping) and isinstance(param.type, ClassWeights):
        return {_text(name): weight for name, weight in value.items()}
    if isinstance(value, list) and (many or isinstance(param.type, Commas)):
        texts = [_word(item) for item in value]
        return texts if many else ",".join(texts)
    return [_word(value)] if many else _word(value)


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise click.BadParameter(f"must be a text or a number, got {_shown(value)}.")
    return str(value)


def _text(name: Any) -> str:
    return str(name).lower() if isinstance(name, bool) else str(name)  # true and false, as tables write them


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)
