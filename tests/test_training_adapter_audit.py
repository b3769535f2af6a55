"""The audit finds labels that were altered between the template and the model, and callbacks log what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.datasets import conversation
from support.extras import need
from support.training import model, tokenizer, trainer

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

from chattmpl import Template  # noqa: E402
from chattmpl.errors import UsageError  # noqa: E402
from chattmpl.training.adapter import (  # noqa: E402
    BatchAuditError,
    VibeTest,
    audit_batches,
    complete,
    count_supervised,
    prepare,
)

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]

CONVERSATIONS = [conversation(number) for number in range(12)]


def rows(**options: Any) -> Any:
    return prepare(CONVERSATIONS, "hybrid", "demo", fast="off", **options)


def found(made: Any, **options: Any) -> Any:
    return audit_batches(made, CONVERSATIONS, "hybrid", "demo", **options)


def altered(change: Any) -> Any:
    return rows().map(lambda row: {"labels": change(row["input_ids"], row["labels"])})


def test_a_mask_that_lost_the_stop_token_is_found(tmp_path: Path) -> None:
    stop = tokenizer().convert_tokens_to_ids("<|im_end|>")
    made = trainer(altered(lambda ids, labels: [-100 if label == stop else label for label in labels]), tmp_path)
    problem = r"'<\|im_end\|>'\) is not supervised, but the template marks it"
    with pytest.raises(BatchAuditError, match=problem) as caught:
        found(made)
    assert "trainer" in str(caught.value)
    assert "<|im_end|>⟧" in str(caught.value)


def test_a_prompt_that_is_trained_is_found(tmp_path: Path) -> None:
    made = trainer(altered(lambda ids, labels: ids), tmp_path)
    with pytest.raises(BatchAuditError, match="is supervised, but the template does not mark it"):
        found(made)


def test_a_row_of_another_template_is_found(tmp_path: Path) -> None:
    made = trainer(prepare(CONVERSATIONS, "chatml", "demo", fast="off"), tmp_path)
    with pytest.raises(BatchAuditError, match="no conversation renders to this document"):
        found(made)


def test_rows_that_trl_cut_are_found(tmp_path: Path) -> None:
    from trl import SFTConfig

    fixed = {"per_device_train_batch_size": 4, "bf16": False, "use_cpu": True, "report_to": "none"}
    config = SFTConfig(output_dir=str(tmp_path), max_length=40, **fixed)
    with pytest.raises(BatchAuditError, match="was cut from"):
        found(trainer(rows(), tmp_path, config=config))


def test_documents_that_see_each_other_are_found(tmp_path: Path) -> None:
    from trl import SFTConfig

    fixed = {"per_device_train_batch_size": 4, "bf16": False, "use_cpu": True, "report_to": "none"}
    config = SFTConfig(output_dir=str(tmp_path), max_length=None, **fixed)
    with pytest.raises(BatchAuditError, match="attends to the one before it"):
        found(trainer(rows(pack=512), tmp_path, config=config), pack=512)


def test_rows_that_are_in_no_batch_are_found(tmp_path: Path) -> None:
    made = trainer(rows().select(range(10)), tmp_path)
    with pytest.raises(BatchAuditError, match="2 of 12 documents are in no batch"):
        found(made)


def test_a_batch_that_is_dropped_is_counted(tmp_path: Path) -> None:
    made = trainer(rows(), tmp_path, per_device_train_batch_size=5, dataloader_drop_last=True)
    assert found(made).missing == 2


def test_an_audit_of_some_batches_looks_at_no_more(tmp_path: Path) -> None:
    result = found(trainer(rows(), tmp_path), batches=1)
    assert (result.batches, result.documents, result.missing) == (1, 4, 8)


def test_an_audit_changes_nothing_of_the_training_that_follows(tmp_path: Path) -> None:
    plain, audited = trainer(rows(), tmp_path / "a"), trainer(rows(), tmp_path / "b")
    found(audited)
    assert plain.train().training_loss == audited.train().training_loss


def test_the_table_of_an_audit_has_its_numbers(tmp_path: Path) -> None:
    result = found(trainer(rows(), tmp_path))
    table = result.table()
    assert f"{result.supervised:,}" in table
    assert table.splitlines()[0].split() == ["batches", "3"]


# -- what is logged


def test_supervised_tokens_are_logged_for_each_step(tmp_path: Path) -> None:
    made = trainer(rows(), tmp_path, logging_steps=1, max_steps=3, per_device_train_batch_size=4)
    count_supervised(made)
    expected = found(made).supervised
    made.train()
    logged = [entry for entry in made.state.log_history if "supervised_tokens" in entry]
    assert len(logged) == 3
    assert logged[-1]["supervised_total"] == expected == sum(entry["supervised_tokens"] for entry in logged)


def test_a_vibe_test_samples_parses_and_logs(tmp_path: Path) -> None:
    made = trainer(rows(), tmp_path, max_steps=2)
    written: list[str] = []
    prompts = [[{"role": "user", "content": "Say something."}]]
    vibe = VibeTest(Template.load("hybrid"), tokenizer(), prompts, every=2, write=written.append, max_new_tokens=4)
    made.add_callback(vibe)
    made.train()
    [(step, [completion])] = vibe.history
    assert step == 2
    assert completion.tokens <= 4
    assert written[0].startswith("step 2: sampled completions")
    assert any("vibe_parsed" in entry for entry in made.state.log_history)


PROMPTS = [[{"role": "user", "content": "Say something."}]]


def test_what_a_vibe_test_finds_reaches_the_other_callbacks_and_no_log_that_is_due_is_lost(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Tracker(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            logged.append((state.global_step, dict(logs)))

    logged: list[tuple[int, dict[str, Any]]] = []
    made = trainer(rows(), tmp_path, max_steps=2, logging_steps=1)
    quiet: dict[str, Any] = {"write": str, "max_new_tokens": 2}
    made.add_callback(Tracker())
    made.add_callback(VibeTest(Template.load("hybrid"), tokenizer(), PROMPTS, every=2, trainer=made, **quiet))
    made.train()
    [(step, figures)] = [(step, logs) for step, logs in logged if "vibe_parsed" in logs]
    assert step == 2
    assert {"vibe_parsed", "vibe_stopped", "epoch"} == figures.keys()
    assert [step for step, logs in logged if "loss" in logs] == [1, 2]
    assert sum("vibe_parsed" in entry for entry in made.state.log_history) == 1


def test_a_vibe_test_of_no_prompts_or_of_what_is_no_trainer_is_refused() -> None:
    with pytest.raises(UsageError, match="there are no prompts to answer"):
        VibeTest(Template.load("hybrid"), tokenizer(), [])
    with pytest.raises(UsageError, match="str is not a Trainer"):
        VibeTest(Template.load("hybrid"), tokenizer(), PROMPTS, trainer="trainer")  # type: ignore[arg-type, unused-ignore]


@pytest.mark.parametrize("lora", [False, True])
def test_completions_are_greedy_whatever_the_generation_config(lora: bool) -> None:
    network = model()
    if lora:
        import peft

        network = peft.get_peft_model(network, peft.LoraConfig(r=2, task_type="CAUSAL_LM"))
    template = Template.load("hybrid")

    def sampled() -> str:
        return complete(network, tokenizer(), template, PROMPTS, max_new_tokens=12)[0].text

    plain = sampled()
    penalties = {"repetition_penalty": 50.0, "no_repeat_ngram_size": 1, "suppress_tokens": list(range(3000))}
    inner = network.get_base_model() if lora else network
    config = inner.generation_config
    config.update(**penalties)
    assert sampled() == plain
    assert inner.generation_config is config
    assert config.repetition_penalty == 50.0
