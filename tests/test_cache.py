"""Caches of the command line: compiled templates, and results of rewrites."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from test_rewrite_annotate import BAD, CHATML
from test_rewrite_command import ALWAYS_PRINTED, LAST

from chattmpl import Template, cache
from chattmpl.compiler.program import compile_program
from chattmpl.errors import BudgetError, Reason
from chattmpl.probing.shapes import generated_conversations
from chattmpl.rewrite.annotate import annotator
from chattmpl.rewrite.refusal import CannotAnnotate, CannotRetain
from chattmpl.rewrite.retain import retainer
from support.extras import need

SOURCE = (
    "{% for m in messages %}{{ 'a' | upper ~ m.content }}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
)
MESSAGES = [{"role": "user", "content": "x"}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_folder", tmp_path)
    return tmp_path


def fresh(source: str) -> Template:
    """Compile a template as another process would."""
    compile_program.cache_clear()
    return Template.from_source(source)


def test_a_template_from_the_cache_renders_the_same(folder: Path) -> None:
    first = fresh(SOURCE).render(MESSAGES)
    assert len(list(folder.iterdir())) == 1
    again = fresh(SOURCE).render(MESSAGES)
    assert (again.text, again.spans, again.generated) == (first.text, first.spans, first.generated)


def test_another_source_has_another_entry(folder: Path) -> None:
    fresh(SOURCE)
    assert fresh(SOURCE.replace("upper", "lower")).render(MESSAGES).text == "axx"
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xff" * 100])
def test_a_damaged_entry_is_made_anew(folder: Path, damage: bytes) -> None:
    fresh(SOURCE)
    for entry in folder.iterdir():
        entry.write_bytes(damage)
    assert fresh(SOURCE).render(MESSAGES).text == "Axx"


def test_what_others_can_write_is_not_read(folder: Path) -> None:
    fresh(SOURCE)
    (entry,) = folder.iterdir()
    cache.store(["harmless"], "key")
    assert cache.load("key") == ["harmless"]
    for path, mode in ((folder, 0o777), (folder, 0o720), (entry, 0o666), (entry, 0o620)):
        before = path.stat().st_mode
        path.chmod(mode)
        read = cache.load("key") if path == folder else entry_is_read(entry)
        path.chmod(before)
        assert not read
    assert entry_is_read(entry)


def entry_is_read(entry: Path) -> bool:
    """Return whether the entry of `SOURCE` is read; if not, it is written anew."""
    compile_program.cache_clear()
    before = entry.stat().st_ino
    Template.from_source(SOURCE)
    return entry.stat().st_ino == before


def test_an_entry_that_is_a_link_or_has_another_name_is_not_read(folder: Path, tmp_path: Path) -> None:
    cache.store("first", "a")
    (first,) = folder.glob("*.bin")
    cache.store("second", "b")
    (second,) = set(folder.glob("*.bin")) - {first}
    first.write_bytes(second.read_bytes())
    assert cache.load("a") is None
    first.unlink()
    first.symlink_to(second)
    assert cache.load("a") is None
    assert cache.load("b") == "second"


def test_the_code_and_not_its_time_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "chattmpl"
    package.mkdir()
    monkeypatch.setattr(cache, "__file__", str(package / "cache.py"))
    hashes = []
    for code in ("a = 1\n", "a = 2\n", "a = 1\n"):
        (package / "budget.py").write_text(code)
        os.utime(package / "budget.py", (1, 1))
        cache.hash_of_code.cache_clear()
        hashes.append(cache.hash_of_code("budget"))
    cache.hash_of_code.cache_clear()
    assert hashes[0] == hashes[2] != hashes[1]


def test_the_oldest_entries_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST_ENTRIES", 10)
    for number in range(25):
        cache.store(number, str(number))
        for entry in folder.iterdir():
            os.utime(entry, (entry.stat().st_mtime - 10,) * 2)
        assert len(list(folder.iterdir())) <= 10
    assert cache.load("24") == 24
    assert cache.load("0") is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(cache, "_folder", tmp_path / "file")
    assert fresh(SOURCE).render(MESSAGES).text == "Axx"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "_folder", None)
    monkeypatch.delenv("CHATTMPL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    cache.enable()
    assert cache._folder is None


def test_the_variable_chooses_the_folder_or_turns_the_cache_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_folder", None)
    monkeypatch.setenv("CHATTMPL_CACHE", str(tmp_path))
    cache.enable()
    fresh(SOURCE)
    assert list(tmp_path.iterdir())
    monkeypatch.setenv("CHATTMPL_CACHE", "")
    cache.enable()
    assert cache.load("anything") is None
    assert cache._folder is None


@pytest.mark.parametrize("name", ["good", "rewritten"])
def test_a_second_annotation_is_read_from_the_cache(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CHATML if name == "good" else BAD[name]
    outcomes: list[tuple[object, ...]] = []
    for _ in range(2):
        try:
            rewrite = Template.from_source(source).annotate(examples=4)
            outcomes.append((rewrite.template.source, rewrite.proof))
        except CannotAnnotate as refusal:
            outcomes.append((str(refusal), refusal.refusal, refusal.law, refusal.place, refusal.counterexample))
        monkeypatch.setattr(annotator, "_annotate", None)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("source", [LAST, ALWAYS_PRINTED], ids=["proven", "refused"])
def test_a_second_change_of_retention_is_read_from_the_cache(
    source: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[tuple[object, ...]] = []
    for _ in range(2):
        try:
            rewrite = Template.from_source(source).retain("none", examples=4)
            outcomes.append((rewrite.template.source, rewrite.proof))
        except CannotRetain as refusal:
            outcomes.append((str(refusal), refusal.refusal, refusal.policy, refusal.counterexample))
        monkeypatch.setattr(retainer, "RetentionSearch", None)
    assert outcomes[0] == outcomes[1]


def test_another_policy_is_another_entry(folder: Path) -> None:
    sources = {
        policy: Template.from_source(LAST).retain(policy, examples=0).template.source
        for policy in ("all", "last", "none")
    }
    assert len(set(sources.values())) == 3


@pytest.mark.parametrize("reason", [Reason.TIME, Reason.MEMORY])
def test_a_refusal_for_want_of_time_or_memory_is_not_cached(
    reason: Reason, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is of a slow machine; it happens while the template runs, as the operating system's bounds do."""

    def fails(*_: object) -> None:
        if reason is Reason.MEMORY:
            raise MemoryError
        raise BudgetError("the template ran for more than 10 seconds", reason=reason)

    with monkeypatch.context() as slow:
        slow.setattr("chattmpl.compiler.program.gather", fails)
        with pytest.raises(CannotAnnotate, match="cannot render a question and an answer"):
            Template.from_source(CHATML).annotate(examples=4)
    assert Template.from_source(CHATML).annotate(examples=4).template.program.has_generation


def test_a_rewrite_without_hypothesis_is_not_cached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as bare:
        bare.setitem(sys.modules, "hypothesis", None)
        generated_conversations.cache_clear()
        with pytest.raises(ImportError, match="hypothesis"):
            Template.from_source(CHATML).annotate(examples=4)
        with pytest.raises(ImportError, match="hypothesis"):
            Template.from_source(LAST).retain("none", examples=4)
    assert Template.from_source(CHATML).annotate(examples=4).template.program.has_generation
    assert Template.from_source(LAST).retain("none", examples=4).proof


def test_control_tokens_are_not_cached_for_want_of_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("numpy")
    from chattmpl.data.fast.tokens import TokenizerHandle
    from chattmpl.data.template_notes import lacking_tokens

    def fails(*_: object) -> None:
        raise BudgetError("the template ran for more than 10 seconds", reason=Reason.TIME)

    source = CHATML.replace("im_end", "im_finish")
    tokenizer = TokenizerHandle("demo")
    with monkeypatch.context() as slow:
        slow.setattr("chattmpl.compiler.program.gather", fails)
        assert lacking_tokens(Template.from_source(source), tokenizer) == ()
    assert lacking_tokens(Template.from_source(source), tokenizer) == ("<|im_finish|>",)
    assert lacking_tokens(Template.from_source(source), tokenizer) == ("<|im_finish|>",)


def test_a_value_is_made_once_and_recalled(folder: Path) -> None:
    made: list[str] = []

    def make() -> tuple[str, ...]:
        made.append("made")
        return "a", "b"

    assert cache.recall(make, "input") == cache.recall(make, "input") == ("a", "b")
    assert made == ["made"]
    assert cache.recall(make, "another") == ("a", "b")
    assert len(made) == 2


def test_variables_and_literals_from_the_cache_are_those_of_the_source(folder: Path) -> None:
    found = [(program.variables, program.literals) for program in (fresh(SOURCE).program, fresh(SOURCE).program)]
    assert found[0] == found[1]
    assert found[0][0] == {"messages"}
    assert "a" in found[0][1]
