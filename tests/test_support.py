"""The support of the other tests: the cache, and the references that are fetched."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import tokenizers

from support.cache import Unavailable, cached, give_up, run
from support.fetched import REAL_TOKENIZERS, llama_cpp_templates, real_tokenizer_path, trl_templates
from support.reference import transformers_render


@pytest.fixture(autouse=True)
def _an_empty_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "upstream" not in request.keywords:
        monkeypatch.setenv("CHATTMPL_TEST_CACHE", str(tmp_path / "cache"))


def test_a_fetch_runs_once_and_its_files_stay() -> None:
    fetched = []

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        (folder / "a.txt").write_text("a")

    assert cached("thing", fetch) == cached("thing", fetch)
    assert (cached("thing", fetch) / "a.txt").read_text() == "a"
    assert len(fetched) == 1


def test_a_fetch_that_fails_leaves_nothing_and_is_not_tried_again() -> None:
    tries = []

    def fetch(folder: Path) -> None:
        tries.append(folder)
        (folder / "half.txt").write_text("half")
        raise Unavailable("no network")

    for _ in range(2):
        with pytest.raises(Unavailable, match="no network"):
            cached("broken", fetch)
    assert len(tries) == 1
    assert not tries[0].exists()


def test_a_missing_program_and_a_failing_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-program is not installed"):
        run(["no-such-program"], tmp_path)
    with pytest.raises(Unavailable, match="failed"):
        run(["git", "no-such-subcommand"], tmp_path)


def test_what_is_unavailable_skips_and_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHATTMPL_REQUIRE_UPSTREAM", raising=False)
    with pytest.raises(pytest.skip.Exception, match="offline"):
        give_up(Unavailable("offline"))
    monkeypatch.setenv("CHATTMPL_REQUIRE_UPSTREAM", "1")
    with pytest.raises(pytest.fail.Exception, match="offline"):
        give_up(Unavailable("offline"))


def test_an_unknown_real_tokenizer_is_a_mistake_not_a_skip() -> None:
    with pytest.raises(ValueError, match="qwen3, llama3_1"):
        real_tokenizer_path("gpt2")


@pytest.mark.upstream
@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_a_real_tokenizer_loads_and_decodes_what_it_encoded(name: str) -> None:
    path = real_tokenizer_path(name)
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    text = "Naïve café — 日本語"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
    assert "tokenizer_class" in json.loads(path.with_name("tokenizer_config.json").read_text(encoding="utf-8"))


@pytest.mark.upstream
def test_the_foreign_templates_are_many_and_whole() -> None:
    trl, llama_cpp = trl_templates(), llama_cpp_templates()
    assert (len(trl), len(llama_cpp)) == (72, 70)
    assert "{% generation %}" in trl["qwen3_training"].replace("{%- ", "{% ").replace(" -%}", " %}")
    assert all("{" in source for source in (*trl.values(), *llama_cpp.values()))


@pytest.mark.upstream
def test_the_reference_renders_with_spans_a_stopped_clock_and_no_none_keys() -> None:
    source = (
        "{{ strftime_now('%H') }}{% for m in messages %}{{ m.name is defined }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ bos_token }}"
    )
    messages = [{"role": "assistant", "content": "hello", "name": None}]
    text, spans = transformers_render(source, messages, clock=dt.datetime(2024, 1, 1, 7), bos_token="<s>")
    assert text == "07Falsehello<s>"
    assert [text[start:end] for start, end in spans] == ["hello"]
