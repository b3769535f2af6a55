"""Files that are no files, links in circles, and configurations that grow: one clear error each, at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.extras import need

need("numpy", "yaml")

from chattmpl.conversation.files import find_conversation_files, load_conversation  # noqa: E402
from chattmpl.data.config_file import read_config  # noqa: E402
from chattmpl.data.sources import find_files  # noqa: E402
from chattmpl.encode import load_tokenizer  # noqa: E402
from chattmpl.errors import ChatTmplError  # noqa: E402
from chattmpl.input_files import DEEPEST, LARGEST_SETTINGS, matching_files, read_json  # noqa: E402
from chattmpl.lint.baseline import without_known  # noqa: E402
from chattmpl.project_file import project_table  # noqa: E402
from chattmpl.template.family import read_family  # noqa: E402
from chattmpl.template.resolver import find_template, find_templates  # noqa: E402

pytestmark = pytest.mark.data


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def listening(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's path has at most 108 bytes
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "template": find_template,
    "templates": lambda path: list(find_templates([str(path)])),
    "data": lambda path: find_files(str(path)),
    "conversation": load_conversation,
    "tokenizer": lambda path: load_tokenizer(str(path)),
    "config": read_config,
    "JSON": read_json,
    "baseline": lambda path: without_known(path, []),
}


@pytest.mark.parametrize("make", [pipe, listening, device], ids=lambda make: make.__name__)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_a_regular_file_is_one_error(reader: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / ("file.yaml" if reader == "config" else "file.jsonl"))
    with pytest.raises(ChatTmplError, match=r"is a (named pipe|socket|device), not a file"):
        READERS[reader](path)


def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for name in ("one.jsonl", "one.jinja"):
        (folder / name).write_text("{}", encoding="utf-8")
    for number in range(1000):
        (folder / f"link{number}").symlink_to(tmp_path)
    pattern = str(tmp_path / "**" / "*")
    assert [file.path for file in find_files(f"{pattern}.jsonl")] == [str(folder / "one.jsonl")]
    assert find_conversation_files(f"{pattern}.jsonl") == [folder / "one.jsonl"]
    for where in (f"{pattern}.jinja", str(tmp_path)):
        assert [found.path for found in find_templates([where])] == [folder / "one.jinja"]


def test_a_pattern_finds_hidden_files_only_if_it_names_them(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in ("a.json", ".b.json", ".hidden/c.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert matching_files(f"{tmp_path}/**/*.json") == [tmp_path / "a.json"]
    assert matching_files(f"{tmp_path}/.hidden/*.json") == [tmp_path / ".hidden" / "c.json"]
    assert matching_files(f"{tmp_path}/.*.json") == [tmp_path / ".b.json"]


DEEP = 100_000
BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))])
CONFIGS: dict[str, str | bytes] = {
    "aliases.yaml": BOMB,
    "merges.yaml": "\n".join(
        ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))]
    ),
    "itself.yaml": "a: &a [*a]",
    "deep.yaml": "a: " + "[" * DEEP + "]" * DEEP,
    "deeper.yml": "a: " + "[" * 200 + "]" * 200,
    "digits.yaml": "a: " + "9" * 5000,
    "sixties.yaml": "a: 1" + ":59" * 200_000,
    "date.yaml": "a: 2001-99-99",
    "key.yaml": "? [a]\n: b",
    "nul.yaml": "a: \0",
    "list.yaml": "- a",
    "scalar.yaml": "a",
    "latin.yaml": b"a: caf\xe9",
    "utf16.yaml": "a: b".encode("utf-16"),
    "large.yaml": "a: " + "x" * LARGEST_SETTINGS,
    "deep.toml": "a = " + "[" * DEEP + "]" * DEEP,
    "dotted.toml": ".".join(["a"] * 1000) + " = 1",
    "digits.toml": "a = " + "9" * 5000,
    "nul.toml": "a = '\0'",
    "latin.toml": b"a = 'caf\xe9'",
    "utf16.toml": "a = 1".encode("utf-16"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_grows_or_is_broken_is_one_error(name: str, tmp_path: Path) -> None:
    need("yaml")
    path, text = tmp_path / name, CONFIGS[name]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ChatTmplError, match=r"TOML|YAML|mapping|UTF-|MiB|deep"):
        read_config(path)


def test_a_configuration_may_have_aliases_and_a_byte_order_mark(tmp_path: Path) -> None:
    need("yaml")
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n", encoding="utf-8-sig")
    assert read_config(path).values == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}


@pytest.mark.parametrize("text", ["[" * DEEP, "[" * 300 + "]" * 300, "[1]", "9" * 5000, "{", "\0", b"\xff", "null"])
def test_a_json_configuration_that_is_broken_is_one_error(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (read_json, find_template, lambda path: find_template(path.parent)):
        with pytest.raises(ChatTmplError, match=r"is not (JSON|a JSON object|UTF-8)|nested more than"):
            read(path)


def test_other_configurations_are_read_as_carefully(tmp_path: Path) -> None:
    deep = "a = " + "[" * DEEP + "]" * DEEP
    (tmp_path / "pyproject.toml").write_text(deep, encoding="utf-8")
    (tmp_path / "family.toml").write_text(deep, encoding="utf-8")
    (tmp_path / "template.jinja").write_text("", encoding="utf-8")
    (tmp_path / "baseline.json").write_text('{"a": ' + "[" * DEEP, encoding="utf-8")
    (tmp_path / "state.json").write_text('{"a": ' + "[" * DEEP, encoding="utf-8")
    for read in (
        lambda: project_table(tmp_path),
        lambda: read_family(tmp_path),
        lambda: without_known(tmp_path / "baseline.json", []),
        lambda: find_files(str(tmp_path)),
    ):
        with pytest.raises(ChatTmplError, match=f"nested more than {DEEPEST} levels"):
            read()


def test_a_table_that_is_not_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 1", encoding="utf-8")
    with pytest.raises(ChatTmplError, match="tool must be a table"):
        project_table(tmp_path)


def test_the_special_keys_of_json_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"a": {"b": [1]}}), encoding="utf-8-sig")
    assert read_json(path) == {"a": {"b": [1]}}


def test_a_library_that_crashes_ends_the_command_with_one_error() -> None:
    code = "import os, signal; from chattmpl.bounds import supervise; supervise(lambda: os.kill(os.getpid(), {}))"
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
        done = subprocess.run(
            [sys.executable, "-c", code.format(int(number))], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert f"error: a library crashed ({number.name})" in done.stderr
        assert "Traceback" not in done.stderr
