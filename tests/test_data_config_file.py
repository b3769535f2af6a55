"""Reading a configuration: values, their places, settings from the command line, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattmpl.data.config_file import ConfigFile, read_config
from chattmpl.errors import UsageError

TOML = """\
data = "a.jsonl"
output = "out"

[trainer]
learning_rate = 1e-4
max_steps = 3
"""

YAML = """\
data: a.jsonl
trainer:
  learning_rate: 1e-4
  weight_decay: 0.1
  max_steps: 12
vibe:
  - one
  - two
"""

yaml = pytest.mark.data
"""PyYAML comes with the extra data."""


def read(folder: Path, text: str, *settings: str, name: str = "c.toml") -> ConfigFile:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_config(path, settings)


def test_a_value_of_toml_knows_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, TOML)
    assert found.values["trainer"] == {"learning_rate": 1e-4, "max_steps": 3}
    place = found.place(("trainer", "max_steps"))
    assert place is not None
    assert (place.line, place.source.line_text(place.line)) == (6, "max_steps = 3")


def test_what_has_no_place_of_its_own_stands_in_what_holds_it(tmp_path: Path) -> None:
    found = read(tmp_path, TOML)
    place = found.place(("trainer", "nothing", 3))
    assert place is not None
    assert place.line == 4
    assert found.place(("nothing",)) is None


def test_a_setting_of_the_command_line_is_above_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, TOML, "trainer.max_steps=7", "lora.r=4")
    assert found.values["trainer"]["max_steps"] == 7
    assert found.values["lora"] == {"r": 4}
    assert found.from_command_line("trainer", "max_steps")
    assert not found.from_command_line("trainer", "learning_rate")
    assert "the command line" in str(found.place(("trainer", "max_steps")))


@pytest.mark.parametrize("setting", ["max_steps", "=3", "trainer.=3", "data.x=3"])
def test_a_setting_that_sets_nothing_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--set"):
        read(tmp_path, TOML, setting)


def test_toml_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is not TOML") as caught:
        read(tmp_path, 'data = "a"\noutput = = 1\n')
    assert caught.value.place is not None
    assert caught.value.place.line == 2


def test_a_file_that_is_not_there_or_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*no such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is not a configuration file"):
        read(tmp_path, "{}", name="c.json")


@yaml
def test_numbers_of_yaml_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    found = read(tmp_path, YAML, "trainer.warmup_ratio=3e-2", name="c.yaml")
    trainer = found.values["trainer"]
    assert trainer == {"learning_rate": 1e-4, "weight_decay": 0.1, "max_steps": 12, "warmup_ratio": 0.03}
    assert isinstance(trainer["max_steps"], int)


@yaml
def test_a_value_of_yaml_knows_its_line_and_column(tmp_path: Path) -> None:
    found = read(tmp_path, YAML, name="c.yaml")
    places = [found.place(keys) for keys in (("trainer", "max_steps"), ("vibe", 1))]
    assert [(place.line, place.column) for place in places if place is not None] == [(5, 3), (8, 5)]


@yaml
@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("data: [a\noutput: b\n", "this is not YAML", 2),
        ("data: a\n\tb: c\n", "this is not YAML", 2),
        ("data: a\ndata: b\n", "duplicate key data", 2),
    ],
)
def test_yaml_that_is_none_is_refused_with_its_line(text: str, problem: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        read(tmp_path, text, name="c.yaml")
    assert caught.value.place is not None
    assert caught.value.place.line == line


@yaml
def test_yaml_that_is_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a mapping"):
        read(tmp_path, "- a\n", name="c.yaml")
