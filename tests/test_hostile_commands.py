"""Attacks on every command and entry point: each ends within bounds of time and memory, and says why, once.

The attacks are in ``tests/hostile``. Seconds and megabytes are measured from outside the process.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from chattmpl.cli import command_names
from chattmpl.printable import visible
from support import ROOT
from support.attacks import Attack, read, templates
from support.extras import ON_LINUX, need
from support.measured import Call, Ending, measure

need("numpy", "orjson", "pyarrow")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

pytestmark = [pytest.mark.hostile, ON_LINUX]

SECONDS = 30.0
"""Maximum wall-clock time of a command, on a machine that does other things as well."""

MEGABYTES = 1200
"""Maximum memory of a command: 1 GiB of one render, and its own."""

LONGEST = 15_000
"""Maximum length of what is printed on stderr."""

GOOD = json.dumps({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world"}]})

TAGGED = (
    "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}\n"
    "{% endgeneration %}{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
)
"""A template that marks what is trained; without that, nothing is encoded."""

TAGLESS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A template without tags, whose prompts and turns are rendered one by one."""

FORGED = "\n::error::forged\r##[error]forged\x1b[31m"

DATA = ("-t", "{template}", "--tokenizer", "demo")

COMMANDS: dict[str, list[list[str]]] = {
    "annotate": [["annotate", "{template}", "--dry-run"]],
    "audit": [["audit", "{rows}", *DATA]],
    "check": [["check", "{template}"]],
    "diff": [["diff", "{template}", "chatml"]],
    "encode": [
        ["encode", "{rows}", *DATA, "-o", "out", "--workers", "1"],
        ["encode", "{rows}", *DATA, "-o", "out", "--workers", "2", "--fast", "off"],
    ],
    "engines": [["engines", "{template}"]],
    "export": [["export", "-t", "{template}"]],
    "inspect": [["inspect", "{template}"]],
    "lint": [["lint", "{template}"]],
    "parse": [["parse", "-t", "{template}", "text.txt"]],
    "prove": [["prove", "{template}"]],
    "render": [["render", "-t", "{template}", "{rows}"], ["render", "-t", "{template}", "{rows}", "--format", "json"]],
    "retain": [["retain", "{template}", "--policy", "all", "--dry-run"]],
    "stats": [["stats", "{rows}", *DATA]],
    "train": [["train", "train.yaml"]],
}
"""For each command that takes a template or rows, its calls."""

WITHOUT_TEMPLATE = {"families", "playground", "rule"}
"""Commands that take none, or serve it: see `test_a_view_of_the_playground_ends`."""

NEEDS = {"engines": "minijinja", "prove": "trl", "train": "trl", "playground": "nicegui"}


def available(command: str) -> bool:
    """Return whether the packages of a command are installed."""
    return command not in NEEDS or importlib.util.find_spec(NEEDS[command]) is not None


def call(folder: Path, arguments: Iterable[str], template: Path, rows: Path, entry: str = "command") -> Call:
    """Write the files that a call needs, and return it."""
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text("hello")
    settings = {"data": str(rows), "template": str(template), "model": str(folder), "output": str(folder / "run")}
    (folder / "train.yaml").write_text(json.dumps(settings))
    made = [argument.format(template=template, rows=rows) for argument in arguments]
    return Call(entry, made, str(folder))


def ends_well(ending: Ending, *, printed: bool = True) -> str:
    """Return the problem with the end of a call, or nothing.

    Args:
        ending: the end.
        printed: stdout is for people, and not a template or a rendered text.
    """
    said = ending.err + ending.out if printed else ending.err
    problems = {
        f"exit code {ending.code}": ending.code not in (0, 1, 2),
        "a traceback": "Traceback (most recent call last)" in ending.err + ending.out,
        "a bug": re.search(r"internal error|bug in chattmpl", ending.err + ending.out),
        f"{ending.err.count(chr(10))} lines": len(ending.err) > LONGEST,
        "several errors": len(re.findall("(?m)^error: ", ending.err)) > 1,
        "no error": ending.code == 2 and not re.search("(?m)^error: ", ending.err),
        "a command for a log": re.search(r"(?m)^\s*::|##\[", said),
        "control characters": visible(said) != said,
        f"{ending.seconds} seconds": ending.seconds > SECONDS,
        f"{ending.megabytes} megabytes": ending.megabytes > MEGABYTES,
    }
    found = [problem for problem, is_one in problems.items() if is_one]
    return f"{', '.join(found)}: {ending.err[:300]!r} {ending.out[:300]!r}" if found else ""


def problems(names: Iterable[object], endings: Iterable[Ending], *, printed: bool = True) -> dict[str, str]:
    """Return the problems of calls by their name."""
    found = {str(name): ends_well(ending, printed=printed) for name, ending in zip(names, endings, strict=True)}
    return {name: problem for name, problem in found.items() if problem}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a template and rows."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "rows.jsonl").write_text(f"{GOOD}\n" * 3)
    (folder / "template.jinja").write_text(TAGGED)
    return folder / "template.jinja", folder / "rows.jsonl"


def written(attack: Attack, folder: Path, end: str = "") -> Path:
    """Write an attack to its file, with an end that is added to it."""
    path = folder / str(attack) / (attack.file or "attack.jinja")
    path.parent.mkdir()
    path.write_bytes(attack.data + end.encode())
    return path


def test_every_command_has_its_attacks() -> None:
    assert sorted([*COMMANDS, *WITHOUT_TEMPLATE]) == sorted(command_names())


TRAINS = ("prove", "train")
"""Commands that need torch: the session that has it attacks them."""


@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=[pytest.mark.train] if each in TRAINS else []) for each in COMMANDS]
)
def test_a_command_ends_on_hostile_templates(command: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    if not available(command):
        pytest.skip(f"{NEEDS[command]} is not installed")
    attacks = templates()
    assert len(attacks) > 7
    calls = {
        f"{attack} {index}": call(tmp_path / f"{attack}-{index}", arguments, path, good[1])
        for attack in attacks
        for path in [written(attack, tmp_path, TAGGED if command == "encode" else "")]
        for index, arguments in enumerate(COMMANDS[command])
        if not index or attack.kind in ("time", "memory")
    }
    endings = measure(calls.values(), NEEDS.get(command, ""))
    assert not problems(calls, endings, printed=command not in ("render", "export", "annotate", "retain"))
    if command == "encode":
        for one, ending in zip(calls.values(), endings, strict=True):
            assert ending.code == 2 or _counts(Path(one.folder) / "out") == (0, 3) or ending.code == 0


@pytest.mark.parametrize("entry", ["encoder", "playground", "pytest"])
def test_an_entry_point_ends_on_hostile_templates(entry: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = {
        "encoder": ["{template}", "{rows}"],
        "playground": ["{template}"],
        "pytest": [
            "--chattmpl-templates",
            "{template}",
            "--chattmpl-law",
            "pure",
            "--chattmpl-conversations",
            "{rows}",
        ],
    }[entry]
    attacks = [attack for attack in templates() if attack.kind in ("time", "memory", "escape", "compiler")]
    end = TAGGED if entry == "encoder" else ""
    calls = [
        call(tmp_path / f"{attack}-{entry}", arguments, written(attack, tmp_path, end), good[1], entry)
        for attack in attacks
    ]
    found = {}
    for attack, ending in zip(attacks, measure(calls), strict=True):
        problem = ends_well(ending, printed=False)
        if problem and not (entry != "encoder" and problem.startswith("no error: ")):
            found[str(attack)] = problem
    assert not found


def _counts(output: Path) -> tuple[int, int]:
    """Return the numbers of encoded and rejected rows of a job."""
    rows = json.loads((output / "summary.json").read_text())["rows"]
    return rows["encoded"], rows["rejected"]


@pytest.mark.parametrize(
    ("command", "template"),
    [("audit", "hybrid"), ("encode", "hybrid"), ("encode", TAGLESS), ("render", None), ("stats", "hybrid")],
)
def test_a_command_ends_on_hostile_rows(
    command: str, template: str | None, good: tuple[Path, Path], tmp_path: Path
) -> None:
    # The commands read and render rows in one way, so one of them with a template without tags is enough.
    attacks = read("rows")
    assert len(attacks) > 25
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"".join(attack.data + f"\n{GOOD}\n".encode() for attack in attacks))
    if template == TAGLESS:
        (tmp_path / "tagless.jinja").write_text(TAGLESS)
        template = str(tmp_path / "tagless.jinja")
    one = call(tmp_path / "call", COMMANDS[command][0], Path(template) if template else good[0], rows)
    endings = measure([one])
    assert not problems([command], endings, printed=command != "render")
    if command == "encode":
        encoded, rejected = _counts(Path(one.folder) / "out")
        assert encoded + rejected == 2 * len(attacks)
        lines = (Path(one.folder) / "out" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
        numbers = {json.loads(line)["line"] for line in lines}
        assert all(number % 2 for number in numbers), "a good row is rejected"
        by_attack = {attack.name: 2 * index + 1 in numbers for index, attack in enumerate(attacks)}
        expected = {attack.name: attack.ends == "rejected" for attack in attacks if attack.ends != "any"}
        assert {name: by_attack[name] for name in expected} == expected


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json"])
def test_encode_ends_on_a_file_of_one_endless_line(suffix: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    rows = tmp_path / f"rows{suffix}"
    if suffix == ".jsonl.gz":
        with gzip.open(rows, "wb", compresslevel=1) as file:
            for _ in range(200):
                file.write(b" " * (1 << 20))
    else:
        rows.write_bytes(b"[" * 1_000_000)
    # stats reads rows as audit does.
    calls = [call(tmp_path / name, COMMANDS[name][0], good[0], rows) for name in ("encode", "audit")]
    assert not problems(("encode", "audit"), measure(calls))


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        ("render", ".json"),
        ("lint", ".jinja"),
        ("check", ".gguf"),
        ("parse", ".txt"),
        ("inspect", ".json"),
        ("stats", ".json"),
    ],
)
def test_a_command_refuses_a_file_that_is_larger_than_memory(
    command: str, suffix: str, good: tuple[Path, Path], tmp_path: Path
) -> None:
    large = tmp_path / f"large{suffix}"
    with large.open("wb") as file:
        file.truncate(1 << 36)
    arguments = {
        "render": [command, "-t", "chatml", str(large)],
        "parse": [command, "-t", "chatml", str(large)],
        "stats": [command, str(good[1]), "-t", "chatml", "--tokenizer", str(large)],
    }.get(command, [command, str(large)])
    endings = measure([call(tmp_path / "call", arguments, *good)])
    assert not problems([command], endings)
    assert endings[0].code == 2


def test_a_command_ends_on_a_small_table_of_large_rows(good: tuple[Path, Path], tmp_path: Path) -> None:
    same = pa.array([0] * 1_500_000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(same, pa.array(["user"]))
    messages = pa.StructArray.from_arrays([texts, texts], names=["role", "content"])
    many = pa.ListArray.from_arrays(pa.array([0, 2, len(messages), len(messages)], pa.int32()), messages)
    long = pa.DictionaryArray.from_arrays(same[:3000], pa.array(["a" * (1 << 20)]))
    calls = []
    for name, column in {"many": many, "long": long}.items():
        pq.write_table(pa.table({"messages": column}), tmp_path / f"{name}.parquet")
        assert (tmp_path / f"{name}.parquet").stat().st_size < 100_000
        calls.append(call(tmp_path / name, COMMANDS["audit"][0], good[0], tmp_path / f"{name}.parquet"))
    endings = dict(zip(("many", "long"), measure(calls), strict=True))
    assert not problems(endings, endings.values())
    assert "the row has more than 1,048,576 values" in endings["many"].out
    assert "of its rows take more than 512 MiB of memory" in endings["long"].err


@pytest.mark.parametrize("command", ["annotate", "check", "diff", "engines", "export", "inspect", "lint", "render"])
def test_a_command_refuses_hostile_files(command: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    if not available(command):
        pytest.skip(f"{NEEDS[command]} is not installed")
    attacks = read("files")
    calls = []
    for attack in attacks:
        path = written(attack, tmp_path)
        shutil.copyfile(good[1], path.parent / "rows.jsonl")
        arguments = [argument.replace("{template}", f"./{path.name}") for argument in COMMANDS[command][0]]
        made = [argument.replace("{rows}", "rows.jsonl") for argument in arguments]
        calls.append(Call("command", made, str(path.parent)))
    endings = measure(calls)
    assert not problems(attacks, endings, printed=command not in ("export", "annotate", "render"))
    if command == "render":
        assert {str(a) for a, e in zip(attacks, endings, strict=True) if e.code != 2 and a.ends == "error"} == set()


@pytest.mark.parametrize("command", ["audit", "encode", "stats"])
def test_a_command_refuses_hostile_tokenizers(command: str, good: tuple[Path, Path], tmp_path: Path) -> None:
    attacks = read("tokenizers")
    calls = []
    for attack in attacks:
        path = written(attack, tmp_path).with_name("tokenizer.json")
        path.write_bytes(attack.data)
        arguments = [str(path) if argument == "demo" else argument for argument in COMMANDS[command][0]]
        calls.append(call(tmp_path / f"{attack}-{command}", arguments, *good))
    endings = measure(calls)
    assert not problems(attacks, endings)
    assert [ending.code for ending in endings] == [2] * len(attacks)


def test_no_argument_forges_a_line_of_a_log(good: tuple[Path, Path], tmp_path: Path) -> None:
    calls = {}
    for name in command_names():
        for number, arguments in enumerate(
            ([FORGED], [f"--{FORGED}"], [f"--format={FORGED}"], [f"--{FORGED}={FORGED}"])
        ):
            calls[f"{name} {number}"] = call(tmp_path / f"{name}-{number}", [name, *arguments], *good)
    for number, value in enumerate((f"{FORGED}=1", f"a={FORGED}", f'a="{FORGED}"', f'{{"a": "{FORGED}"}}')):
        arguments = ["render", "-t", str(good[0]), str(good[1]), "--set", value.replace("{", "{{").replace("}", "}}")]
        calls[f"--set {number}"] = call(tmp_path / f"set-{number}", arguments, *good)
    calls["command"] = call(tmp_path / "command", [FORGED], *good)
    endings = measure(calls.values())
    assert not problems(calls, endings)
    assert {name for name, ending in zip(calls, endings, strict=True) if ending.code != 2} == set()


@pytest.mark.parametrize("hook", ["chattmpl-lint", "chattmpl-check"])
def test_a_hook_takes_file_names_for_nothing_else(hook: str, tmp_path: Path) -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    block = next(part for part in text.split("- id: ") if part.startswith(hook))
    found = re.search(r"entry: chattmpl (.*)\n.*args: \[(.*)\]", block)
    assert found is not None
    attacks = [attack for attack in read("files") if attack.file]
    calls = [
        Call("command", [found[1], *found[2].split(), path.name], str(path.parent))
        for path in [written(attack, tmp_path) for attack in attacks]
    ]
    endings = measure(calls)
    assert not problems(attacks, endings)
    # A template that refuses all conversations breaks no law.
    wrong = [attack for attack in attacks if attack.ends == "error" and attack.name != "template_with_a_forged_error"]
    codes = dict(zip(attacks, [ending.code for ending in endings], strict=True))
    assert all(codes[attack] for attack in wrong)
