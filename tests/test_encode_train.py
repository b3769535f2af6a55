"""trl's SFTTrainer takes what ``chattmpl encode`` writes, as it is; and packs no denser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.conversation.files import load_conversations
from support.command import run_here
from support.datasets import write_many
from support.extras import need

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # of torch, transformers and trl, which are not ours to heed
]

ROWS = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_many(tmp_path / "data.jsonl", ROWS)


def encoded(data: Path, output: Path, *options: str) -> Any:
    """What was written, loaded as people load it."""
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
        "-o",
        str(output),
        *options,
    ]
    assert run_here(arguments).code == 0
    return datasets.load_dataset(str(output), split="train", cache_dir=str(output.parent / "cache"))


def trainer(dataset: Any, output: Path, **options: Any) -> Any:
    """A trainer of a tiny model, for one step on the CPU."""
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    import chattmpl

    definition = Path(chattmpl.__file__).parent / "encode" / "demo_tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(definition)), pad_token="<|pad|>", eos_token="<|im_end|>"
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=3200, **sizes))
    fixed = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "max_steps": 1, "bf16": False, "fp16": False}
    config = SFTConfig(output_dir=str(output), per_device_train_batch_size=4, **fixed, **options)
    return SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)


def labels_of(made: Any) -> list[list[int]]:
    """The labels of all batches, without what is not trained, by rows of the collated batches."""
    return [
        [label for label in row if label != -100]
        for batch in made.get_train_dataloader()
        for row in batch["labels"].tolist()
    ]


def answers(data: Path) -> list[list[int]]:
    """What is trained in each conversation, by the library."""
    encodings = [Template.load("qwen3").render(each).encode("demo") for each in load_conversations(data)]
    return [[label for label in each.labels() if label != -100] for each in encodings]


def test_an_encoded_data_set_is_trained_on_as_it_is(data: Path, tmp_path: Path) -> None:
    dataset = encoded(data, tmp_path / "out")
    made = trainer(dataset, tmp_path / "run", max_length=None)
    assert sorted(labels_of(made)) == sorted(answers(data))
    assert made.train().training_loss > 0


def test_a_packed_data_set_is_trained_on_as_it_is_and_its_documents_do_not_see_each_other(
    data: Path, tmp_path: Path
) -> None:
    dataset = encoded(data, tmp_path / "out", "--pack", "256")
    made = trainer(dataset, tmp_path / "run", padding_free=True, packing=False, max_length=None)
    assert made.train().training_loss > 0
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


def test_what_is_trained_reads_as_what_the_assistant_says(data: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    import chattmpl

    dataset = encoded(data, tmp_path / "out")
    made = trainer(dataset, tmp_path / "run", max_length=None)
    tokenizer = Tokenizer.from_file(str(Path(chattmpl.__file__).parent / "encode" / "demo_tokenizer.json"))
    texts = {tokenizer.decode(row, skip_special_tokens=False) for row in labels_of(made)}
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
