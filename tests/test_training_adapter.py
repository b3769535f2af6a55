"""The labels of a template reach the model: prepared rows, rows of `chattmpl encode`, and the collator."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.conversation.files import load_conversations
from chattmpl.errors import ConversationError, UsageError
from chattmpl.template.family import family_names
from support.command import run_here
from support.datasets import conversation, write_many
from support.extras import need
from support.training import model, tokenizer, trainer

need("datasets", "numpy", "peft", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]

CONVERSATIONS = [conversation(number) for number in range(24)]
UNTRAINED = math.log(3200)
"""Mean loss per supervised token of a model with random weights: each token of the vocabulary is as likely."""


def prepared(template: Any = "hybrid", conversations: Any = CONVERSATIONS, **options: Any) -> Any:
    from chattmpl.training.adapter import prepare

    return prepare(conversations, template, "demo", fast="off", **options)


def seen(made: Any) -> list[tuple[list[int], list[int]]]:
    """Return the documents of all batches: their tokens, and the labels that are predicted."""
    from chattmpl.training.adapter.batch_audit import split_batch

    return sorted(
        (list(document.ids), [token for token, trained in zip(*document, strict=True) if trained])
        for batch in made.get_train_dataloader()
        for _, document in split_batch(batch)
    )


def said(template: Template, conversations: Any) -> list[tuple[list[int], list[int]]]:
    """Return the same by rendering and encoding."""
    encodings = [template.render(each).encode("demo") for each in conversations]
    return sorted((each.input_ids, [label for label in each.labels()[1:] if label != -100]) for each in encodings)


# -- rows


@pytest.mark.parametrize("family", family_names())
def test_the_labels_that_reach_the_model_are_those_of_the_template(family: str, tmp_path: Path) -> None:
    template = Template.load(family)
    made = trainer(prepared(template, rows="one", straddle="include"), tmp_path)
    assert seen(made) == said(template, CONVERSATIONS)
    assert made.train().training_loss == pytest.approx(UNTRAINED, rel=0.05)


@pytest.mark.parametrize("family", family_names())
def test_the_audit_of_packed_and_unrolled_rows_matches_the_template(family: str, tmp_path: Path) -> None:
    from chattmpl.training.adapter import audit_batches

    options: dict[str, Any] = {"pack": 4096}
    made = trainer(prepared(family, **options), tmp_path)
    found = audit_batches(made, CONVERSATIONS, family, "demo", **options)
    assert found.documents >= len(CONVERSATIONS)
    assert found.missing == 0
    assert 0 < found.supervised < found.tokens
    assert "⟦" in found.first


def test_a_data_set_with_the_null_padding_of_arrow_gives_the_rows_of_its_conversations() -> None:
    from datasets import Dataset

    dataset = Dataset.from_list(
        [{"messages": CONVERSATIONS[0]["messages"]}, {"messages": CONVERSATIONS[1]["messages"]}]
    )
    assert dataset[0]["messages"][0]["reasoning_content"] is None
    assert prepared(conversations=dataset)[:] == prepared(conversations=CONVERSATIONS[:2])[:]


def test_conversations_and_lists_of_messages_are_taken_too() -> None:
    from chattmpl import Conversation

    given = [Conversation.coerce(CONVERSATIONS[0]), CONVERSATIONS[1]["messages"]]
    assert prepared(conversations=given)[:] == prepared(conversations=CONVERSATIONS[:2])[:]


def test_max_length_shortens_by_whole_turns() -> None:
    long = {"messages": CONVERSATIONS[0]["messages"] * 4}
    whole, short = prepared(conversations=[long]), prepared(conversations=[long], max_length=100)
    assert len(whole[0]["input_ids"]) > 100 >= len(short[0]["input_ids"])
    assert tokenizer().decode(short[0]["input_ids"]).endswith("<|im_end|>\n")


def test_a_conversation_that_cannot_be_trained_on_stops_with_its_place() -> None:
    broken = {"messages": [{"role": "user", "content": "?"}]}
    with pytest.raises(ConversationError, match=r"1 of 25 conversations .*dataset\[24\]: no token of the row"):
        prepared(conversations=[*CONVERSATIONS, broken])
    assert len(prepared(conversations=[*CONVERSATIONS, broken], max_rejected=1)) == len(CONVERSATIONS)


@pytest.mark.filterwarnings("ignore::chattmpl.data.template_notes.TemplateWarning")
@pytest.mark.parametrize("max_rejected", [0, "100%"])
def test_a_template_without_generation_tags_is_an_error_that_says_so(max_rejected: Any) -> None:
    untagged = Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(ConversationError, match="no rows to train on") as raised:
        prepared(untagged, max_rejected=max_rejected, mask_from="tags")
    assert "has no generation tags" in str(raised.value.hint)


def test_one_conversation_is_not_taken_for_many() -> None:
    with pytest.raises(UsageError, match="not a single conversation"):
        prepared(conversations=CONVERSATIONS[0])


def test_a_misspelt_option_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'max_length'"):
        prepared(max_lenght=100)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mask": "foo"}, "mask cannot be 'foo': it must be one of all, last"),
        ({"mask": "lst"}, "did you mean 'last'"),
        ({"straddle": "maybe"}, "straddle cannot be 'maybe'"),
        ({"control_tokens": True}, "control_tokens cannot be True"),
        ({"overflow": "cut"}, "overflow cannot be 'cut'"),
        ({"max_length": "x"}, "max_length cannot be 'x': it must be a whole number"),
        ({"pack": 1.5}, "pack cannot be 1.5: it must be a whole number"),
        ({"conversations": None}, "dataset must be conversations, not None"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused_as_such(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        prepared(**options)


def test_documents_of_a_packed_row_do_not_see_each_other(tmp_path: Path) -> None:
    import torch

    rows = prepared(conversations=CONVERSATIONS[:6], pack=512)
    batch = next(iter(trainer(rows, tmp_path, max_steps=1).get_train_dataloader()))
    network = model().eval()
    ids, positions = batch["input_ids"].cpu(), batch["position_ids"].cpu()
    with torch.no_grad():
        together = network(input_ids=ids, position_ids=positions, use_cache=False).logits[0]
        starts = [*torch.where(positions[0] == 0)[0].tolist(), ids.shape[1]]
        assert len(starts) > 3
        for start, end in pairwise(starts):
            alone = network(input_ids=ids[:, start:end]).logits[0]
            assert torch.allclose(together[start:end], alone, atol=1e-5)


def test_the_template_that_the_tokenizer_was_given_is_saved_with_the_model(tmp_path: Path) -> None:
    template = Template.load("hybrid")
    made = trainer(prepared(template, CONVERSATIONS[:4]), tmp_path, max_steps=1)
    made.processing_class.chat_template = template.export("inference")
    made.train()
    made.save_model(str(tmp_path / "saved"))
    saved = (tmp_path / "saved" / "chat_template.jinja").read_text(encoding="utf-8")
    assert saved == template.export("inference")


# -- the collator


def test_padding_adds_tokens_that_are_neither_seen_nor_trained() -> None:
    from chattmpl.training.adapter import Collator

    rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}]
    batch = Collator(pad_id=0, multiple_of=4)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 0, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100], [8, -100, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_without_padding_positions_start_anew_with_each_document_and_its_first_token_is_not_trained() -> None:
    from chattmpl.training.adapter import Collator

    rows = [
        {"input_ids": [5, 6, 7], "labels": [5, 6, 7], "seq_lengths": [2, 1]},
        {"input_ids": [8, 9], "labels": [8, 9], "seq_lengths": [2]},
    ]
    batch = Collator(pad_id=0, padding_free=True)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["labels"].tolist() == [[-100, 6, -100, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 0, 1]]
    assert "attention_mask" not in batch


@pytest.mark.parametrize("pack", [None, 512])
def test_the_collator_takes_rows_that_are_tensors(pack: int | None) -> None:
    from chattmpl.training.adapter import Collator

    rows = prepared(conversations=CONVERSATIONS[:4], pack=pack)
    collator = Collator(pad_id=0, padding_free=pack is not None)
    lists = collator([rows[index] for index in range(len(rows))])
    tensors = collator([rows.with_format("torch")[index] for index in range(len(rows))])
    assert {name: tensors[name].tolist() for name in tensors} == {name: lists[name].tolist() for name in lists}


@pytest.mark.parametrize("pack", [None, 512])
def test_the_collator_gives_the_model_what_that_of_trl_gives_it(pack: int | None, tmp_path: Path) -> None:
    from chattmpl.training.adapter import Collator

    rows = prepared(pack=pack)
    made = trainer(rows, tmp_path)
    some = [rows[index] for index in range(min(3, len(rows)))]
    ours = Collator(pad_id=made.processing_class.pad_token_id, padding_free=pack is not None)(some)
    theirs = made.data_collator(some)
    assert {name: ours[name].tolist() for name in ours} == {name: theirs[name].tolist() for name in ours}


def test_the_collator_refuses_a_batch_of_no_rows() -> None:
    from chattmpl.training.adapter import Collator

    with pytest.raises(UsageError, match="cannot make a batch of no rows"):
        Collator(pad_id=0)([])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"labels": [1, 2]}, "no input_ids"),
        ({"input_ids": [1, 2]}, "no labels"),
        ({"input_ids": [1, 2], "labels": [1]}, "2 tokens and 1 labels"),
        ({"input_ids": [1, 2], "labels": [1, 2], "seq_lengths": [1, 1]}, "would attend to each other"),
    ],
)
def test_the_collator_refuses_rows_that_would_be_trained_wrongly(row: dict[str, Any], problem: str) -> None:
    from chattmpl.training.adapter import Collator

    with pytest.raises(UsageError, match=problem):
        Collator(pad_id=0)([row])


# -- full fine-tuning and LoRA


def test_lora_trains_its_adapters_on_the_same_labels(tmp_path: Path) -> None:
    import peft

    from chattmpl.training.adapter import audit_batches

    made = trainer(prepared(), tmp_path, peft_config=peft.LoraConfig(r=2, task_type="CAUSAL_LM"))
    assert audit_batches(made, CONVERSATIONS, "hybrid", "demo").documents == len(CONVERSATIONS)
    before = {name: value.clone() for name, value in made.model.named_parameters()}
    made.train()
    changed = {name for name, value in made.model.named_parameters() if not before[name].equal(value)}
    assert changed
    assert all("lora" in name for name in changed)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    rows = prepared()
    fixed = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "gradient_accumulation_steps": 2}
    whole = trainer(rows, tmp_path / "a", **fixed)
    whole.train()
    again = trainer(rows, tmp_path / "b", **fixed)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert one.equal(other)


# -- what `chattmpl encode` writes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_many(tmp_path / "data.jsonl", 40)


def encoded(data: Path, output: Path, *options: str) -> Any:
    """Run `chattmpl encode`, and load what it wrote."""
    import datasets

    arguments = [
        "encode",
        str(data),
        "-t",
        "qwen3",
        "--tokenizer",
        "demo",
        "--fast",
        "off",
        *("--rows", "one", "--straddle", "include"),
        "-o",
        str(output),
        *options,
    ]
    assert run_here(arguments).code == 0
    return datasets.load_dataset(str(output), split="train", cache_dir=str(output.parent / "cache"))


def plain_trainer(dataset: Any, output: Path, **options: Any) -> Any:
    """Return a trainer of a tiny model that takes one step on the CPU, built without the adapter."""
    from trl import SFTConfig, SFTTrainer

    fixed = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "max_steps": 1, "bf16": False, "fp16": False}
    config = SFTConfig(output_dir=str(output), per_device_train_batch_size=4, **fixed, **options)
    return SFTTrainer(model=model(), args=config, train_dataset=dataset, processing_class=tokenizer())


def labels_of(made: Any) -> list[list[int]]:
    """Return the trained labels of each row of the collated batches."""
    return [
        [label for label in row if label != -100]
        for batch in made.get_train_dataloader()
        for row in batch["labels"].tolist()
    ]


def answers(data: Path) -> list[list[int]]:
    """Return the trained labels of each conversation, by the library."""
    encodings = [Template.load("qwen3").render(each).encode("demo") for each in load_conversations(data)]
    return [[label for label in each.labels() if label != -100] for each in encodings]


def test_an_encoded_data_set_is_trained_on_as_it_is(data: Path, tmp_path: Path) -> None:
    dataset = encoded(data, tmp_path / "out")
    made = plain_trainer(dataset, tmp_path / "run", max_length=None)
    assert sorted(labels_of(made)) == sorted(answers(data))
    assert made.train().training_loss == pytest.approx(UNTRAINED, rel=0.05)


def test_a_packed_data_set_is_trained_on_as_it_is_and_its_documents_do_not_see_each_other(
    data: Path, tmp_path: Path
) -> None:
    dataset = encoded(data, tmp_path / "out", "--pack", "256")
    made = plain_trainer(dataset, tmp_path / "run", padding_free=True, packing=False, max_length=None)
    assert made.train().training_loss == pytest.approx(UNTRAINED, rel=0.05)
    rows = {tuple(row["input_ids"]): row for row in dataset}
    seen = 0
    for batch in made.get_train_dataloader():
        ids, positions = batch["input_ids"][0].tolist(), batch["position_ids"][0].tolist()
        assert len(ids) == len(positions)
        start = 0
        while start < len(ids):
            row = next(row for key, row in rows.items() if ids[start : start + len(key)] == list(key))
            end = start + len(row["input_ids"])
            assert positions[start:end] == row["position_ids"]
            assert batch["labels"][0].tolist()[start:end] == row["labels"]
            start, seen = end, seen + 1
    assert seen == len(dataset)


def test_trained_tokens_decode_to_what_the_assistant_says(data: Path, tmp_path: Path) -> None:
    dataset = encoded(data, tmp_path / "out")
    made = plain_trainer(dataset, tmp_path / "run", max_length=None)
    texts = {tokenizer().decode(row, skip_special_tokens=False) for row in labels_of(made)}
    records = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    for record in records:
        spoken = record["messages"][-1]["content"]
        assert any(text.endswith(f"{spoken}<|im_end|>") for text in texts)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_no_more_rows_are_made_than_trl_makes_of_the_same_lengths(tmp_path: Path, size: int) -> None:
    from trl import pack_dataset

    data = write_many(tmp_path / "data.jsonl", 3000, words=30)
    plain = encoded(data, tmp_path / "plain", "--max-length", str(size), "--max-rejected", "100%")
    packed = encoded(data, tmp_path / "packed", "--pack", str(size), "--max-rejected", "100%")
    theirs = pack_dataset(plain.select_columns(["input_ids"]), size, "bfd")
    summary = json.loads((tmp_path / "packed" / "summary.json").read_text(encoding="utf-8"))
    assert sum(map(len, packed["input_ids"])) == sum(map(len, plain["input_ids"]))
    assert len(packed) <= len(theirs)
    assert summary["pack"]["trl_rows"] == len(theirs)
