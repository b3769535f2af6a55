"""``chattmpl export``: a template as plain Jinja, also into files that others read."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.template.writer import plan, replacing, write
from support.command import run_here

CONFIG = '{\n    "added": [1, 1.50, 1e-05],\n    "chat_template": "old",\n    "é": "\\u00e9"\n}\n'


def _export(**options: str) -> str:
    return Template.load("qwen3", retention=options.get("retention")).export(options.get("target", "train"))  # type: ignore[arg-type]


def _config(folder: Path, text: str = CONFIG) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_bytes(text.encode())
    return path


def test_without_an_output_the_text_goes_to_stdout_as_it_is() -> None:
    assert run_here(["export", "-t", "qwen3"]).out == _export()
    made = run_here(["export", "-t", "qwen3", "--target", "inference", "--retention", "all", "-o", "-"])
    assert (made.code, made.out, made.err) == (0, _export(target="inference", retention="all"), "")
    assert "generation %}" not in made.out


def test_a_new_file_needs_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "chat_template.jinja"
    done = run_here(["export", "-t", "qwen3", "-o", str(path)])
    assert (done.code, done.out, done.err) == (0, "", f"wrote {path}\n")
    assert path.read_bytes().decode() == _export()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_exists_is_kept_and_the_difference_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "chat_template.jinja"
    path.write_text("old\n", encoding="utf-8")
    path.chmod(0o640)
    done = run_here(["export", "-t", "qwen3", "-o", str(path)])
    assert f"--- {path} (before)\n+++ {path} (after)\n" in done.err
    assert "\n-old\n" in done.err
    assert done.err.endswith(f"wrote {path}, backup in {path}.bak\n")
    assert (tmp_path / "chat_template.jinja.bak").read_text(encoding="utf-8") == "old\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_backup_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "chat_template.jinja"
    for text in ("one", "two", "three", "four"):
        write(plan(text, path))
    names = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert names == {
        "chat_template.jinja": "four",
        "chat_template.jinja.bak": "one",
        "chat_template.jinja.bak1": "two",
        "chat_template.jinja.bak2": "three",
    }


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "chat_template.jinja"
    run_here(["export", "-t", "qwen3", "-o", str(path)])
    done = run_here(["export", "-t", "qwen3", "-o", str(path)])
    assert (done.code, done.err) == (0, f"{path} already holds this template: nothing was written\n")
    assert list(tmp_path.iterdir()) == [path]


def test_a_dry_run_shows_the_difference_and_writes_nothing(tmp_path: Path) -> None:
    path = _config(tmp_path)
    done = run_here(["export", "-t", "qwen3", "-o", str(path), "--dry-run"])
    assert "\n-old\n" in done.err
    assert done.err.endswith(f"{path} would be changed: nothing was written\n")
    assert path.read_bytes().decode() == CONFIG
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_config_only_the_template_changes(tmp_path: Path) -> None:
    path = _config(tmp_path)
    assert run_here(["export", "-t", "qwen3", "-o", str(path), "--no-response-template"]).code == 0
    text = path.read_bytes().decode()
    value = json.dumps(_export(), ensure_ascii=False)
    assert text == CONFIG.replace('"old"', value)
    assert json.loads(text)["chat_template"] == _export()
    assert (tmp_path / "tokenizer_config.json.bak").read_bytes().decode() == CONFIG


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{\n  "a": 1\n}\n', '{\n  "a": 1,\n  "chat_template": "new"\n}\n'),
        ('{"a": {"b": 2}}', '{"a": {"b": 2},"chat_template": "new"}'),
        ("{}", '{\n  "chat_template": "new"\n}'),
        ('{"chat_template": null}', '{"chat_template": "new"}'),
    ],
)
def test_a_config_without_a_template_gets_one_at_its_end(before: str, after: str, tmp_path: Path) -> None:
    path = _config(tmp_path, before)
    write(plan("new", path))
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize(
    "named",
    ['[{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]', '{"default": "a", "rag": "b"}'],
)
def test_one_of_several_named_templates_is_replaced(named: str, tmp_path: Path) -> None:
    text = f'{{"chat_template": {named}}}'
    assert plan("new", _config(tmp_path, text), "rag").content.decode() == text.replace('"b"', '"new"')
    assert plan("new", _config(tmp_path, text)).content.decode() == text.replace('"a"', '"new"')
    done = run_here(["export", "-t", "qwen3", "-o", str(tmp_path / "tokenizer_config.json"), "--into-variant", "tool"])
    assert done.code == 2
    assert done.err.endswith("has no template named 'tool'\nhint: it has default, rag\n")


def test_a_model_directory_is_changed_where_transformers_looks_first(tmp_path: Path) -> None:
    _config(tmp_path)
    assert plan("new", tmp_path).path.name == "tokenizer_config.json"
    (tmp_path / "chat_template.jinja").write_text("own", encoding="utf-8")
    assert plan("new", tmp_path).path.name == "chat_template.jinja"
    extra = tmp_path / "additional_chat_templates"
    extra.mkdir()
    (extra / "rag.jinja").write_text("rag", encoding="utf-8")
    assert plan("new", tmp_path, "rag").path == extra / "rag.jinja"


def test_a_model_directory_without_any_template_gets_a_file_of_its_own(tmp_path: Path) -> None:
    _config(tmp_path, '{"a": 1}')
    done = run_here(["export", "-t", "qwen3", "-o", str(tmp_path), "--no-response-template"])
    assert done.err == f"wrote {tmp_path / 'chat_template.jinja'}\n"
    assert Template.load(str(tmp_path)).source == _export()


def test_a_model_directory_can_be_exported_into_itself(tmp_path: Path) -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    _config(tmp_path, json.dumps({"chat_template": source, "eos_token": "</s>"}))
    assert run_here(["export", "-t", str(tmp_path), "--target", "inference", "-o", str(tmp_path)]).code == 0
    after = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "generation" not in after["chat_template"]
    assert after["eos_token"] == "</s>"


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("old", encoding="utf-8")
    path = tmp_path / "chat_template.jinja"
    path.symlink_to(blob)
    write(plan("new", path))
    assert blob.read_text(encoding="utf-8") == "old"
    assert (path.read_text(encoding="utf-8"), path.is_symlink()) == ("new", False)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text()))
def test_any_template_in_any_config_is_read_back_as_it_was(template: str, rest: dict[str, int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ascii_only in (True, False):
            path = _config(Path(folder), json.dumps(rest, ensure_ascii=ascii_only))
            made = json.loads(plan(template, path).content)
            assert made == {**rest, "chat_template": template}
            assert list(made)[: len(rest)] == list(rest)
