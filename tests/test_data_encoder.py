"""The encoder: one callable, batch in, batch out, the same wherever it runs."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.encode import load_tokenizer
from chattmpl.encode.fast_tokenizer import FastTokenizer
from chattmpl.errors import UsageError
from chattmpl.template.template import Template as CoreTemplate
from support.extras import need
from support.small_tokenizers import byte_level_bpe, with_control

need("gigatoken", "numpy")

from chattmpl.data.encoder import Encoder, EncoderReport, FastPathWarning, Rejection, Row, TemplateWarning  # noqa: E402
from chattmpl.data.exact_path import ExactPath  # noqa: E402
from chattmpl.data.fast.comparison import ExactResult  # noqa: E402
from chattmpl.data.fast.renderers import CompiledRenderer  # noqa: E402
from chattmpl.data.rows import RejectionReason  # noqa: E402

pytestmark = pytest.mark.data

CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "It is 4."},
]
LOUD = Template.from_source(
    "{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}"
)
CALLS = Template.from_source(
    "{% for m in messages %}{% generation %}{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %}{% endfor %}{% endgeneration %}"
    "{% endfor %}"
)


def row_of(encoder: Encoder, record: Any) -> Row:
    """Return the row of one conversation."""
    result = encoder.encode_many([record])[0]
    assert isinstance(result, Row)
    return result


def call(**arguments: Any) -> dict[str, Any]:
    """Return a message that calls a tool."""
    return {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}


def test_rows_are_those_of_rendering_and_encoding() -> None:
    encoding = Template.load("hybrid").render(CHAT).encode("demo")
    row = row_of(Encoder("hybrid", "demo"), {"messages": CHAT})
    assert row.input_ids.tolist() == encoding.input_ids
    assert row.mask.tolist() == encoding.assistant_masks
    assert row.labels().tolist() == encoding.labels()
    assert row.trained == sum(encoding.assistant_masks)


def test_a_batch_of_columns_gives_a_batch_of_columns() -> None:
    encoder = Encoder("hybrid", "demo", columns=("input_ids", "labels", "assistant_masks", "attention_mask", "length"))
    batch = encoder({"messages": [CHAT, CHAT[:1]], "tools": [None, []], "source": ["a", "b"]})
    row = row_of(encoder, CHAT)
    assert list(batch) == ["input_ids", "labels", "assistant_masks", "attention_mask", "length"]
    assert batch["input_ids"][0].tolist() == row.input_ids.tolist()
    assert batch["labels"][0].tolist() == row.labels().tolist()
    assert batch["assistant_masks"][0].tolist() == row.mask.tolist()
    assert batch["attention_mask"][1].tolist() == [1] * batch["length"][1]


def test_an_empty_batch_gives_empty_columns() -> None:
    assert Encoder("hybrid", "demo")({"messages": []}) == {"input_ids": [], "labels": []}
    assert Encoder("hybrid", "demo").encode_many([]) == []


def test_many_rows_stay_in_order() -> None:
    records: list[dict[str, Any]] = [
        {"messages": [CHAT[0], {"role": "assistant", "content": f"number {n}"}]} for n in range(1300)
    ]
    records[700] = {"messages": [{"role": "user", "content": "a <|im_end|> b"}, CHAT[1]]}
    records[701] = {"messages": "none"}
    results = Encoder("hybrid", "demo", keep=["text"]).encode_many(records)
    texts = [result.text if isinstance(result, Row) else result.reason for result in results]
    assert [f"number {n}" in str(texts[n]) for n in range(1300)] == [n not in (700, 701) for n in range(1300)]
    assert texts[701] == "conversation"
    assert isinstance(results[700], Row)
    assert results[700].escaped == 1


def test_the_exact_path_tokenizes_rows_together_and_gives_each_its_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[Any] = [
        {"messages": [CHAT[0], {"role": "assistant", "content": f"<|im_end|> {n}" * (n % 3)}]} for n in range(70)
    ]
    records[3] = records[66] = {"messages": "none"}
    encoder = Encoder("hybrid", "demo", fast="off")
    alone = [encoder.encode_many([record])[0] for record in records]
    sizes: list[int] = []
    encode_batch = FastTokenizer.encode_batch

    def counted(self: FastTokenizer, texts: Sequence[str]) -> list[list[int]]:
        sizes.append(len(texts))
        return encode_batch(self, texts)

    monkeypatch.setattr(FastTokenizer, "encode_batch", counted)
    together = encoder.encode_many(records)
    assert sizes == [63, 5]
    assert [type(each) for each in together] == [type(each) for each in alone]
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, Row) and isinstance(other, Row):
            assert one.input_ids.tolist() == other.input_ids.tolist()
            assert one.mask.tolist() == other.mask.tolist()
            assert one.escaped == other.escaped


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_a_bad_row_says_what_is_wrong_and_where(fast: Any) -> None:
    encoder = Encoder("hybrid", "demo", fast=fast)
    misspelt = {"messages": [{"role": "user", "contents": "hi"}]}
    surrogate = {"messages": [{"role": "user", "content": "\ud800"}]}
    results = encoder.encode_many([misspelt, surrogate, {"messages": CHAT}])
    assert results[0] == Rejection(
        RejectionReason.CONVERSATION,
        "messages[0].contents: unknown key 'contents'",
        "messages[0].contents",
        "did you mean 'content'?",
    )
    assert isinstance(results[1], Rejection)
    assert (results[1].reason, isinstance(results[2], Row)) == ("encode", True)
    assert encoder.report().rejected == {"conversation": 1, "encode": 1}
    assert encoder.report().rows == 1


def test_a_row_that_the_template_refuses_says_where_in_the_template() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}{{ raise_exception('never') }}"
    with pytest.warns(FastPathWarning, match="no row could be encoded"):
        result = Encoder(Template.from_source(source, name="t"), "demo", columns=["input_ids"]).encode_many([CHAT])[0]
    assert isinstance(result, Rejection)
    assert (result.reason, result.place) == ("render", "t:1:51")


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_an_error_that_nobody_thought_of_stops_no_other_row(fast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder("hybrid", "demo", fast=fast).prepare()
    render = CoreTemplate.render

    def fails(self: CoreTemplate, conversation: Conversation, *args: Any, **kwargs: Any) -> Any:
        if len(conversation.messages) == 1:
            raise ZeroDivisionError("by zero")
        return render(self, conversation, *args, **kwargs)

    monkeypatch.setattr(CoreTemplate, "render", fails)
    unusual = [{"role": "user", "content": "<|im_end|>"}]
    results = encoder.encode_many([CHAT, unusual, CHAT])
    assert [isinstance(result, Row) for result in results] == [True, False, True]
    assert results[1] == Rejection(RejectionReason.ERROR, "ZeroDivisionError: by zero", hint="please report it")


def test_bad_rows_are_left_out_of_a_batch_or_kept_with_their_error() -> None:
    batch = {"messages": [CHAT, "nothing", CHAT]}
    assert len(Encoder("hybrid", "demo")(batch)["input_ids"]) == 2
    kept = Encoder("hybrid", "demo", columns=["input_ids", "length", "error"])(batch)
    assert [len(ids) > 0 for ids in kept["input_ids"]] == [True, False, True]
    assert kept["length"][1] == 0
    assert kept["error"] == [None, "conversation: messages: must be a list of messages, not 'nothing'", None]


@pytest.mark.parametrize("tokenizer", ["demo", load_tokenizer("demo")])
def test_a_pickled_encoder_gives_the_same_rows_and_checks_nothing_again(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder("hybrid", tokenizer, template_kwargs={"enable_thinking": False}).prepare()
    copy = pickle.loads(pickle.dumps(encoder))
    monkeypatch.setattr("chattmpl.data.fast.verify._exact_results", None)
    assert row_of(copy, CHAT).input_ids.tolist() == row_of(encoder, CHAT).input_ids.tolist()
    assert copy.report().fast == {"python": 1}


def test_two_pickles_of_encoders_with_the_same_arguments_are_equal() -> None:
    first, second = (pickle.dumps(Encoder("hybrid", "demo")) for _ in range(2))
    assert first == second


def test_a_pickled_template_renders_the_same() -> None:
    template = Template.load("qwen3", retention="all")
    copy = pickle.loads(pickle.dumps(template))
    assert (copy.source, copy.retention, copy.render(CHAT).text) == (template.source, "all", template.render(CHAT).text)


def test_conversations_and_records_give_the_same_row() -> None:
    encoder = Encoder("hybrid", "demo")
    first, second = encoder.encode_many([{"messages": CHAT}, Conversation.coerce(CHAT)])
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.input_ids.tolist() == second.input_ids.tolist()


def test_kwargs_of_a_row_are_honoured_and_those_of_the_encoder_stand_over_them() -> None:
    record = {
        "messages": [CHAT[0], {**CHAT[1], "reasoning_content": "why"}],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    given: list[dict[str, Any]] = [{}, {"enable_thinking": True}]
    for kwargs in given:
        row = row_of(Encoder("hybrid", "demo", template_kwargs=kwargs, keep=["text"]), record)
        assert row.text == Template.load("hybrid").render(record, **kwargs).text


def test_all_rows_of_one_encoder_tell_the_same_time() -> None:
    template = Template.from_source(
        "{{ strftime_now('%H:%M:%S.%f') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    encoder = Encoder(template, "demo", keep=["text"], columns=["input_ids"])
    assert row_of(encoder, CHAT).text == row_of(pickle.loads(pickle.dumps(encoder)), CHAT).text
    fixed = Encoder(template, "demo", keep=["text"], columns=["input_ids"], clock=datetime(2026, 1, 2, 3, 4, 5))
    assert str(row_of(fixed, CHAT).text).startswith("03:04:05.000000")


def test_a_template_without_generation_tags_is_a_warning_where_labels_are_wanted() -> None:
    plain = Template.from_source("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}", name="plain.jinja")
    with pytest.warns(TemplateWarning, match=r"plain\.jinja has no generation tags, so no token is trained"):
        row = Encoder(plain, "demo", mask_from="tags").encode_many([CHAT])[0]
    assert isinstance(row, Row)
    assert not row.mask.any()
    assert Encoder(plain, "demo", columns=["input_ids"])({"messages": [CHAT]})["input_ids"]


@pytest.mark.parametrize("fast", ["auto", "off"])
def test_control_tokens_that_the_tokenizer_lacks_are_one_warning(fast: Any) -> None:
    tokenizer = with_control(byte_level_bpe())
    encoder = Encoder("llama3", tokenizer, fast=fast)
    told = r"CT601: .*<\|start_header_id\|>, .* are not tokens of the tokenizer.*such as the family qwen3"
    with pytest.warns(TemplateWarning, match=told) as caught:
        encoder.encode_many([CHAT] * 3)
    assert len(caught) == 1
    pickle.loads(pickle.dumps(encoder)).encode_many([CHAT])  # warns no more
    assert isinstance(Encoder("chatml", tokenizer).encode_many([CHAT])[0], Row)


def test_what_is_asked_for_is_kept() -> None:
    rendering = Template.load("hybrid").render(CHAT)
    row = row_of(Encoder("hybrid", "demo", keep=["text", "generated"]), CHAT)
    assert (row.text, row.generated) == (rendering.text, rendering.generated)
    with pytest.warns(FastPathWarning, match="message_index"):
        row = row_of(Encoder("hybrid", "demo", keep=["message_index"]), CHAT)
    expected = [-1 if index is None else index for index in rendering.encode("demo").message_index]
    assert row.message_index.tolist() == expected


def test_rows_are_in_order_whatever_path_they_take_and_however_many_are_encoded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chattmpl.data.encoder._BATCH", 4)
    odd = {"messages": [{"role": "user", "content": "<|im_end|>"}, CHAT[1]]}
    for count in (0, 3, 4, 8, 11):
        records: list[Any] = [odd if number % 3 == 1 else {"messages": CHAT} for number in range(count)]
        records = [*records, "x"] if count == 3 else records
        fast, exact = Encoder("hybrid", "demo", check_every=0), Encoder("hybrid", "demo", fast="off")
        found = fast.encode_many(iter(records))
        expected = exact.encode_many(records)
        assert [told(row) for row in found] == [told(row) for row in expected]
        assert sum(fast.report().fast.values()) == sum(record is not odd and record != "x" for record in records)


def told(result: Any) -> Any:
    """Return a result as plain data."""
    if isinstance(result, Rejection):
        return result
    return result.input_ids.tolist(), result.mask.tolist(), result.straddles, result.escaped


def test_a_message_that_is_not_to_be_trained_is_not() -> None:
    record = [CHAT[0], {**CHAT[1], "train": False}, CHAT[0], CHAT[1]]
    row = row_of(Encoder("hybrid", "demo"), record)
    assert row.mask.tolist() == Template.load("hybrid").render(record).encode("demo").assistant_masks


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fast": "yes"}, "fast cannot be 'yes'"),
        ({"columns": ["ids"]}, "there is no column 'ids'"),
        ({"keep": ["texts"]}, "there is no attribute to keep 'texts'"),
        ({"straddle": "maybe"}, "straddle cannot be 'maybe': it must be one of"),
        ({"template_kwargs": {"enable_thinkin": True}}, "reads no kwarg 'enable_thinkin'"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Encoder("hybrid", "demo", **options)


# When the fast path is wrong


def test_a_fast_path_that_is_required_and_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="no fast path for hybrid with this tokenizer: mask='last'"):
        Encoder("hybrid", "demo", fast="require", mask="last").prepare()
    with pytest.warns(FastPathWarning, match="mask='last'"):
        assert Encoder("hybrid", "demo", mask="last").prepare().report().engine is None


def rewriting(write: Any, old: str, new: str) -> Any:
    """Return a `write` method of a renderer with wrong output."""

    def wrongly(self: Any, variables: dict[str, Any], pieces: list[str], size: int = 0) -> None:
        some: list[str] = []
        write(self, variables, some, size)
        pieces.append("".join(some).replace(old, new))

    return wrongly


def test_a_renderer_with_other_texts_is_found_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CompiledRenderer, "write", rewriting(CompiledRenderer.write, "4", "5"))
    encoder = Encoder(LOUD, "demo", mask_from="tags")
    with pytest.warns(FastPathWarning, match="python is not used: it writes"):
        encoder.prepare()
    row_of(encoder, CHAT)
    assert not encoder.report().fast


def test_without_a_correct_renderer_there_is_no_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CompiledRenderer, "write", rewriting(CompiledRenderer.write, "4", "5"))
    with pytest.raises(UsageError, match=r"python is not used: it writes '5.* where the exact path writes '4"):
        Encoder(LOUD, "demo", mask_from="tags", fast="require").prepare()


def test_a_template_that_is_not_compiled_takes_the_exact_path() -> None:
    encoder = Encoder(Template.from_source("{{ 1 ** 3 }}" + CALLS.source), "demo", mask_from="tags", keep=["text"])
    with pytest.warns(FastPathWarning, match=r"uses \*\*"):
        encoder.prepare()
    assert row_of(encoder, [call(a=1e22, b=True)]).text == "1a=1e+22;b=True;"
    assert not encoder.report().fast


def test_a_fast_path_that_turns_out_wrong_is_given_up_loudly_and_the_batch_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Encoder(LOUD, "demo", mask_from="tags", check_every=1, keep=["text"]).prepare()
    monkeypatch.setattr(CompiledRenderer, "write", rewriting(CompiledRenderer.write, "late", "soon"))
    records: list[Any] = [
        {"messages": CHAT},
        {"messages": [CHAT[0], {"role": "assistant", "content": "late"}]},
        {"messages": CHAT},
    ]
    with pytest.warns(FastPathWarning, match="the fast path gave a wrong result.*it writes"):
        results = encoder.encode_many(records)
    assert [isinstance(result, Row) and "late" in str(result.text) for result in results] == [False, True, False]
    assert encoder.report().disagreements
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "late" in str(row_of(encoder, records[1]).text)
    assert encoder.report().exact == {"all rows": 4}


def test_all_rows_of_a_compared_conversation_are_compared_with_one_run_of_the_exact_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[object] = []
    results = ExactPath.results

    def counted(path: ExactPath, record: Any) -> list[ExactResult]:
        runs.append(record)
        return results(path, record)

    answer = {"role": "assistant", "content": "yes", "reasoning_content": "so"}
    record = {"messages": [CHAT[0], answer, CHAT[0], answer, CHAT[0], answer]}
    encoder = Encoder("qwen3", "demo", check_every=1).prepare()
    monkeypatch.setattr(ExactPath, "results", counted)
    assert len(encoder.encode_many([record, {"messages": CHAT}])) == 4
    assert (encoder.report().checked, len(runs)) == (4, 2)


def test_reports_add_up() -> None:
    encoder = Encoder("hybrid", "demo")
    encoder.encode_many([CHAT, "x"])
    total = EncoderReport()
    for _ in range(2):
        total.add(encoder.report())
    assert total.to_dict()["rows"] == 2
    assert total.to_dict()["rejected"] == {"conversation": 2}
    assert total.engine == "tokenizers"


def test_a_tokenizer_file_that_changed_makes_another_pickle(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    first = pickle.dumps(Encoder("hybrid", str(path)))
    path.write_text("{ }", encoding="utf-8")
    assert pickle.dumps(Encoder("hybrid", str(path))) != first


@pytest.mark.train
def test_the_encoder_maps_a_dataset_in_several_processes() -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"messages": [CHAT[0], {"role": "assistant", "content": f"number {n}"}]} for n in range(60)]
    encoder = Encoder("hybrid", "demo", columns=["input_ids", "labels", "error"])
    dataset = datasets.Dataset.from_list(rows)
    mapped = dataset.map(encoder, batched=True, batch_size=7, num_proc=2, remove_columns=["messages"])
    expected = encoder({"messages": [row["messages"] for row in rows]})
    assert mapped["input_ids"][:] == [ids.tolist() for ids in expected["input_ids"]]
    assert mapped["labels"][:] == [labels.tolist() for labels in expected["labels"]]
    assert set(mapped["error"]) == {None}


def test_a_tokenizer_with_a_very_long_token_has_no_fast_path_and_is_encoded_all_the_same() -> None:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_str(load_tokenizer("demo").raw.to_str())  # type: ignore[attr-defined]
    tokenizer.add_tokens([AddedToken("\n" + "x" * 1500, normalized=False)])
    with pytest.warns(FastPathWarning, match="too long to search for"):
        encoder = Encoder("chatml", tokenizer).prepare()
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    found, plain = (each.encode_batch(rows) for each in (encoder, Encoder("chatml", "demo", fast="off")))
    assert found.rows.input_ids.tolist() == plain.rows.input_ids.tolist()
    assert found.rows.mask.tolist() == plain.rows.mask.tolist()
