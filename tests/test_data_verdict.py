"""Verdicts of the differential check: stored by the contents of everything that they depend on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template, cache
from chattmpl.encode.tokenizer_loader import DEMO_FILE
from support.extras import need

need("gigatoken", "numpy")

import numpy as np  # noqa: E402

from chattmpl.data.encoder import Encoder, FastPathWarning  # noqa: E402
from chattmpl.data.fast import tokens, verify  # noqa: E402
from chattmpl.data.fast.markers import Unsupported  # noqa: E402

pytestmark = pytest.mark.data

ROWS = [
    {"messages": [{"role": "user", "content": "Hi " * n}, {"role": "assistant", "content": "Yes."}]} for n in (1, 9)
]


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows that each check compared, with a cache of its own."""
    monkeypatch.setattr(cache, "_folder", tmp_path / "cache")
    made: list[int] = []
    compare = verify._exact_results

    def counted(records: Any, *rest: Any) -> Any:
        made.append(len(records))
        return compare(records, *rest)

    monkeypatch.setattr(verify, "_exact_results", counted)
    return made


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(DEMO_FILE, folder / "tokenizer.json")
    return folder


def encode(template: Any, tokenizer: object, **options: Any) -> tuple[list[list[int]], str | None]:
    """Encode the rows as another process would; return the ids and the engine."""
    encoder = Encoder(template, tokenizer, check_every=0, **options)
    rows = encoder.encode_batch(ROWS).rows
    return [ids.tolist() for ids in rows.split(rows.input_ids)], encoder.report().engine


@pytest.mark.parametrize("named", [True, False])
def test_a_second_encoder_does_not_check(checks: list[int], tokenizer: Path, named: bool) -> None:
    given = tokenizer if named else "demo"
    first = encode("chatml", given)
    assert len(checks) == 1
    assert encode("chatml", given) == first
    assert len(checks) == 1


def test_with_a_verdict_the_tokenizer_is_loaded_only_for_rows_of_the_exact_path(
    checks: list[int], tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bytes:
        """An engine that needs no tokenizer: each byte is a token."""

        name = "bytes"

        def __init__(self, handle: tokens.TokenizerHandle) -> None:
            self.definition = handle.definition

        def encode(self, stream: bytes, count: int) -> tuple[Any, Any]:
            return tokens._joined([np.frombuffer(text, dtype=np.uint8) for text in stream.split(b"\x03")])

    monkeypatch.setattr(verify, "ENGINES", (Bytes,))
    monkeypatch.setattr(verify, "_check_tokens", lambda *_: None)
    monkeypatch.setattr(tokens.TokenLengths, "of", lambda _, ids: np.ones(len(ids), dtype=np.int32))
    encoder = Encoder("chatml", tokenizer, check_every=0).prepare()
    assert "_exact" in vars(encoder)
    again = Encoder("chatml", tokenizer, check_every=0).prepare()
    assert len(again.encode_many(ROWS)) == len(ROWS)
    assert again.report().engine == "bytes"
    assert "_exact" not in vars(again)
    again.encode_many([{"messages": [{"role": "user", "content": "<|im_end|>"}, *ROWS[0]["messages"][1:]]}])
    assert "_exact" in vars(again)


def test_another_template_tokenizer_or_option_is_checked(checks: list[int], tokenizer: Path) -> None:
    encode("chatml", tokenizer)
    encode("qwen3", tokenizer)
    encode("chatml", tokenizer, straddle="exclude")
    (tokenizer / "tokenizer_config.json").write_text('{"bos_token": "<s>"}', encoding="utf-8")
    encode("chatml", tokenizer)
    definition = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    definition["added_tokens"] = definition["added_tokens"][:-1]
    (tokenizer / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")
    encode("chatml", tokenizer)
    assert len(checks) == 5


def test_a_template_without_a_fast_path_is_not_checked_again(
    checks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Template.load("chatml")
    monkeypatch.setattr(verify, "describe_difference", lambda *_: "it differs")
    for _ in range(2):
        with pytest.warns(FastPathWarning, match="it differs"):
            encode(template, "demo")
    assert len(checks) == 1


def test_a_missing_package_is_not_stored(checks: list[int], tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise Unsupported("gigatoken is not installed", lasting=False)

    with monkeypatch.context() as patched:
        patched.setattr(tokens.GigatokenEngine, "__init__", missing)
        without = encode("chatml", tokenizer)
    assert [encode("chatml", tokenizer), encode("chatml", tokenizer)] == [without, without]
    assert len(checks) == 2


def test_tokens_that_only_the_configuration_declares_are_part_of_the_definition(
    checks: list[int], tokenizer: Path
) -> None:
    size = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    added = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    new = max([size - 1, *(token["id"] for token in added)]) + 1
    config = {"added_tokens_decoder": {str(new): {"content": "Yes.", "special": False}}}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    for _ in range(2):
        ids, engine = encode("chatml", tokenizer)
        assert engine is not None
        assert all(new in row for row in ids)
