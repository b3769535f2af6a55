"""chattmpl train: the tokens that the template marks are trained, and the served template is the trained one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.encode.tokenizer_loader import DEMO_FILE
from support.command import PROGRAM, Outcome, run_here
from support.datasets import conversation, write_jsonl
from support.extras import need
from support.training import apart, record, weights, write_run

need("accelerate", "datasets", "numpy", "peft", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]

PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def trained(path: Path, *options: str) -> Outcome:
    outcome = run_here(["train", str(path), *options])
    assert outcome.code == 0, outcome.err
    return outcome


def refused(path: Path, *options: str) -> str:
    outcome = run_here(["train", str(path), *options])
    assert outcome.code == 2
    assert outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err
    assert "this is a bug" not in outcome.err
    return outcome.err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    path = write_run(tmp_path_factory.mktemp("run"), vibe={"prompts": ["Say it."], "every": 2, "max_new_tokens": 3})
    return path.parent / "out", trained(path)


# -- output


def test_the_audit_and_the_table_of_tokens_are_printed(run: Any) -> None:
    _, outcome = run
    assert "16 rows read, 16 rows written" in outcome.out
    assert "note: this run has 1 process\n" in outcome.err
    assert "audit of all rows: the trainer supervises what the template marks" in outcome.out
    assert "data.jsonl" in outcome.out
    assert "⟦<think></think>" in outcome.out


def test_steps_and_completions_go_to_stderr_and_the_summary_to_stdout(run: Any) -> None:
    folder, outcome = run
    assert "step 4 of 4, loss " in outcome.err
    assert "note: step 2: sampled completions" in outcome.err
    assert "step " not in outcome.out.splitlines()[-1]
    assert f"vllm serve {folder}" in outcome.out


def test_the_supervised_tokens_are_those_of_the_template(run: Any) -> None:
    folder, _ = run
    template = Template.load("hybrid")
    encodings = [template.render(conversation(number)).encode("demo") for number in range(16)]
    # Sixteen rows in four batches of four: each once.
    said = sum(sum(label != -100 for label in each.labels()[1:]) for each in encodings)
    assert record(folder)["trained"]["supervised_tokens"] == said
    assert record(folder)["audit"]["supervised"] == said


@pytest.mark.parametrize("prompt", [False, True])
def test_what_is_served_is_what_was_trained(prompt: bool, run: Any) -> None:
    from transformers import AutoTokenizer

    folder, _ = run
    served, template = AutoTokenizer.from_pretrained(folder), Template.load("hybrid")
    for number in range(16):
        messages = conversation(number)["messages"][: -1 if prompt else None]
        rendering = template.render(messages, add_generation_prompt=prompt)
        text = served.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
        assert text == rendering.text
        ids = served.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=True)["input_ids"]
        assert ids == rendering.encode("demo").input_ids


def test_the_model_ends_at_the_stop_tokens_and_its_folder_has_a_record(run: Any) -> None:
    from transformers import AutoModelForCausalLM

    folder, _ = run
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.generation_config.eos_token_id == [3074]
    assert "endgeneration" in (folder / "chat_template.train.jinja").read_text()
    assert "endgeneration" not in (folder / "chat_template.jinja").read_text()
    said = record(folder)
    assert said["template"]["stops"] == ["<|im_end|>"]
    assert (said["template"]["family"], said["template"]["retention"]) == ("hybrid", "all")
    assert said["data"]["total"]["examples"] == 16


def test_checkpoints_can_be_served_too(run: Any) -> None:
    folder, _ = run
    checkpoint = folder / "checkpoint-4"
    assert (checkpoint / "chat_template.jinja").read_text() == (folder / "chat_template.jinja").read_text()
    assert json.loads((checkpoint / "generation_config.json").read_text())["eos_token_id"] == [3074]


def test_a_run_that_is_finished_is_not_run_again(run: Any) -> None:
    folder, first = run
    again = trained(folder.parent / "run.yaml")
    assert "an earlier run finished the training" in again.out
    assert first.out.splitlines()[-4] in again.out
    assert "step" not in again.err


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("trainer.learning_rate=1e-5", "trainer.learning_rate changed"),
        ("template.retention=none", "template changed"),
        ("max_length=90", "max_length changed"),
        ("seed=3", "seed changed"),
    ],
)
def test_a_run_of_another_configuration_is_refused(setting: str, changed: str, run: Any) -> None:
    folder, _ = run
    path = folder.parent / "other.yaml"
    said = json.loads((folder.parent / "run.yaml").read_text())
    path.write_text(json.dumps({**said, "template": {"name": "hybrid"}}), encoding="utf-8")
    error = refused(path, "--set", setting)
    assert changed in error
    assert "--force" in error


def test_settings_that_change_no_weight_do_not_matter(run: Any) -> None:
    folder, _ = run
    outcome = trained(folder.parent / "run.yaml", "--set", "trainer.logging_steps=7", "--set", "audit=2")
    assert "an earlier run finished" in outcome.out


def test_resume_never_refuses_where_there_is_a_run(run: Any) -> None:
    folder, _ = run
    assert "contains a run" in refused(folder.parent / "run.yaml", "--resume", "never")


# -- dry runs


def test_a_dry_run_does_all_but_train_and_its_rows_are_used_afterwards(tmp_path: Path) -> None:
    path = write_run(tmp_path, trainer={"max_steps": 1})
    outcome = trained(path, "--dry-run")
    assert "audit of all rows" in outcome.out
    assert "nothing was trained" in outcome.out
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["chattmpl.json", "rows"]
    before = (tmp_path / "out" / "rows" / "summary.json").stat().st_mtime_ns
    assert "trained 1 step " in trained(path).out
    assert (tmp_path / "out" / "rows" / "summary.json").stat().st_mtime_ns == before


def test_what_a_dry_run_left_does_not_bind_the_run(tmp_path: Path) -> None:
    path = write_run(tmp_path, trainer={"max_steps": 1})
    trained(path, "--dry-run")
    assert "trained 1 step " in trained(path, "--set", "max_length=120").out


def test_labels_that_are_altered_are_found_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chattmpl.training.rows import without_origins

    def altered(rows: Any) -> Any:
        return without_origins(rows).map(lambda row: {"labels": row["input_ids"]})

    monkeypatch.setattr("chattmpl.training.run.without_origins", altered)
    outcome = run_here(["train", str(write_run(tmp_path))])
    assert outcome.code == 1
    assert "is supervised, but the template does not mark it" in outcome.err
    assert "step " not in outcome.err
    assert not list((tmp_path / "out").glob("checkpoint-*"))


# -- templates


def test_a_template_without_tags_is_annotated_and_announced(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(PLAIN_TEMPLATE, encoding="utf-8")
    plain = [conversation(number) for number in range(0, 16, 2)]
    write_jsonl(tmp_path / "plain.jsonl", plain)
    path = write_run(tmp_path, template="mine.jinja", data="plain.jsonl", trainer={"max_steps": 1})
    outcome = trained(path)
    assert "mine.jinja has no generation tags: it was annotated automatically" in outcome.err
    assert "the stop token is '<|im_end|>'" in outcome.err
    folder = tmp_path / "out"
    assert (folder / "chat_template.jinja").read_text() == PLAIN_TEMPLATE
    assert "endgeneration" in (folder / "chat_template.train.jinja").read_text()
    assert record(folder)["template"]["annotated"] is True
    paths = [str(tmp_path / "plain.jsonl"), "-t", str(tmp_path / "mine.jinja"), "-o", str(tmp_path / "encoded")]
    encoded = run_here(["encode", "--tokenizer", "demo", "--fast", "off", *paths])
    assert encoded.code == 0


def model_directory(folder: Path, **named: str) -> Path:
    """Write a directory with the demo tokenizer and named templates."""
    folder.mkdir()
    shutil.copy(DEMO_FILE, folder / "tokenizer.json")
    templates = [{"name": name, "template": text} for name, text in named.items()]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": templates}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_named_templates_are_saved_with_the_model(tmp_path: Path) -> None:
    tools = "{{ 'T' if tools else '' }}" + PLAIN_TEMPLATE
    model_directory(tmp_path / "m", default=PLAIN_TEMPLATE, tool_use=tools, rag="{{ messages }}")
    plain = [conversation(number) for number in range(0, 16, 2)]
    write_jsonl(tmp_path / "plain.jsonl", plain)
    path = write_run(tmp_path, template="m", tokenizer="./m", data="plain.jsonl", trainer={"max_steps": 1})
    outcome = trained(path)
    assert "named templates are saved as they are, and not trained: rag" in outcome.err
    folder = tmp_path / "out"
    named = folder / "additional_chat_templates"
    assert (folder / "chat_template.jinja").read_text() == PLAIN_TEMPLATE
    assert (named / "tool_use.jinja").read_text() == tools
    assert (named / "rag.jinja").read_text() == "{{ messages }}"
    assert "endgeneration" in (folder / "chat_template.train.tool_use.jinja").read_text()


@pytest.mark.parametrize("template", ["hybrid", {"name": "m", "variant": "default"}])
def test_named_templates_that_are_not_trained_are_not_saved(tmp_path: Path, template: Any) -> None:
    model_directory(tmp_path / "m", default=PLAIN_TEMPLATE, tool_use=PLAIN_TEMPLATE)
    write_jsonl(tmp_path / "plain.jsonl", [conversation(number) for number in range(0, 16, 2)])
    path = write_run(tmp_path, template=template, tokenizer="./m", data="plain.jsonl", trainer={"max_steps": 1})
    assert "are not saved, since they are not trained: tool_use" in trained(path).err
    assert not (tmp_path / "out" / "additional_chat_templates").exists()


def test_a_template_that_cannot_be_annotated_trains_what_is_sampled(tmp_path: Path) -> None:
    # The model stops by sampling the token with which the next turn begins.
    (tmp_path / "mine.jinja").write_text(PLAIN_TEMPLATE.replace("<|im_end|>", ""), encoding="utf-8")
    write_jsonl(tmp_path / "plain.jsonl", [conversation(number) for number in range(0, 16, 2)])
    outcome = trained(write_run(tmp_path, template="mine.jinja", data="plain.jsonl", trainer={"max_steps": 1}))
    assert "mine.jinja has no generation tags: rows train what the model samples after each prompt" in outcome.err
    assert "audit of all rows" in outcome.out
    template = record(tmp_path / "out")["template"]
    assert template["annotated"] is False
    assert "<|im_start|>" in str(record(tmp_path / "out"))


def test_a_template_that_cannot_be_annotated_is_refused_with_the_reason(tmp_path: Path) -> None:
    source = PLAIN_TEMPLATE.replace("<|im_end|>", "")
    (tmp_path / "mine.jinja").write_text(source, encoding="utf-8")
    error = refused(write_run(tmp_path, template="mine.jinja", mask_from="tags"))
    assert "has no generation tags, so nothing would be trained" in error
    assert "no stop token follows the assistant's messages" in error
    assert "hint: " in error
    assert "stop_tokens: [TEXT]" in error
    assert "--stop-token" not in error


def test_retention_and_unrolling_are_noted_and_audited(tmp_path: Path) -> None:
    template = {"name": "hybrid", "retention": "last"}
    path = write_run(tmp_path, template=template, trainer={"max_steps": 1})
    answer = {"role": "assistant", "reasoning_content": "Why?", "content": "Because."}
    talk = [{"role": "user", "content": "Go"}, answer, {"role": "user", "content": "On"}, answer]
    write_jsonl(tmp_path / "data.jsonl", [{"messages": talk}] * 16)
    assert (
        "earlier answers are trained as the template writes them in history"
        in trained(path, "--dry-run", "--set", "rows=one").err
    )
    outcome = trained(path, "--set", "rows=auto", "--set", "pack=512")
    assert "earlier answers" not in outcome.err
    assert "audit of all rows" in outcome.out
    assert record(tmp_path / "out")["template"]["retention"] == "last"


def test_a_mixture_is_drawn_and_audited_with_its_kwargs(tmp_path: Path) -> None:
    from chattmpl.training.resolved_run import load_tokenizer
    from chattmpl.training.rows import load_rows

    write_jsonl(tmp_path / "more.jsonl", [conversation(number) for number in range(20, 26)])
    sources = [
        {"path": "data.jsonl", "epochs": 1.5},
        {"path": "more.jsonl", "epochs": 2, "chat_template_kwargs": {"enable_thinking": False}},
    ]
    path = write_run(tmp_path, data=sources, audit="all", trainer={"max_steps": 1})
    outcome = trained(path)
    assert "audit of all rows" in outcome.out
    assert record(tmp_path / "out")["data"]["rows"]["samples"] == 16 + 8 + 12
    assert "more.jsonl" in outcome.out
    prompts: dict[str, set[bool]] = {"data.jsonl": set(), "more.jsonl": set()}
    rows = load_rows([str(file) for file in (tmp_path / "out" / "rows").glob("*.arrow")])
    tokenizer = load_tokenizer("demo")
    for row in rows:
        prompts[row["source"]].add("/no_think" in tokenizer.decode(row["input_ids"]))
    # The kwargs of a source apply to its rows only.
    assert prompts == {"data.jsonl": {False}, "more.jsonl": {True}}


def test_held_out_data_are_evaluated(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "held.jsonl", [conversation(number) for number in range(20, 24)])
    path = write_run(tmp_path, eval_data="held.jsonl", trainer={"max_steps": 2, "eval_steps": 1})
    outcome = trained(path)
    assert "step 1 of 2, loss on eval_data " in outcome.err
    assert record(tmp_path / "out")["trained"]["eval_loss"] > 0
    assert record(tmp_path / "out")["data"]["total"]["examples"] == 16
    error = refused(path, "--set", "eval_data=null", "--set", f"output={tmp_path}/other")
    assert "trainer.eval_steps is set, but there is no eval_data" in error


def test_an_audit_of_some_rows_looks_at_these(tmp_path: Path) -> None:
    path = write_run(tmp_path, audit=5, trainer={"max_steps": 1})
    assert "audit of 5 of 16 rows" in trained(path, "--dry-run").out


# -- models and tokenizers


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer has no control tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>"]
    raw.train_from_iterator(
        ["when the train leaves"],
        trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    return folder


def test_control_tokens_that_the_tokenizer_lacks_are_named_and_can_be_added(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = write_run(tmp_path, template="chatml", tokenizer=None, model=str(base), trainer={"max_steps": 1})
    error = refused(path)
    assert "does not have the control tokens <|im_start|>, <|im_end|>, which chatml writes (CT601)" in error
    assert "add_tokens: true" in error
    error = refused(path, "--set", "add_tokens=false")
    assert "the tokenizer has none of the stop tokens" in error
    assert "add_tokens: true adds" in error
    outcome = trained(path, "--set", "add_tokens=true")
    assert "added to the tokenizer: <|im_start|>, <|im_end|>" in outcome.err
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.generation_config.eos_token_id == [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    error = refused(path, "--set", "add_tokens=true", "--set", "lora.r=2", "--set", f"output={tmp_path}/lora")
    assert "the embeddings of added tokens would stay random" in error


def test_control_tokens_that_a_plain_conversation_does_not_need_are_several_tokens_each(
    base: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    path = write_run(tmp_path, template="chatml", tokenizer="tokenizer", trainer={"max_steps": 1})
    outcome = trained(path, "--dry-run")
    assert "each of <tool_call>, </tool_call>, <tool_response>, </tool_response> as several tokens" in outcome.err


def test_lora_trains_adapters_and_merges_them_if_asked_to(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    lora = {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
    keys: dict[str, Any] = {"template": "chatml", "tokenizer": None, "model": str(base), "add_tokens": True}
    path = write_run(tmp_path, lora=lora, trainer={"max_steps": 2}, **keys)
    trained(path)
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    trained(path, "--set", f"output={tmp_path}/merged", "--set", "lora.merge=true")
    pretrained = AutoModelForCausalLM.from_pretrained(base).state_dict()
    names = weights(tmp_path / "merged")
    assert not any("lora" in name for name in names)
    trained_weights = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").state_dict()
    adapted = [name for name, value in pretrained.items() if not value.equal(trained_weights[name][: len(value)])]
    # The adapters of q_proj are in its weights now; what has no adapter is as it was.
    assert {name.split(".")[-2] for name in adapted} == {"q_proj", "embed_tokens", "lm_head"}


def test_special_tokens_of_a_family_are_given_to_the_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    path = write_run(tmp_path, template="llama3", trainer={"max_steps": 1}, data=None)
    plain = [conversation(number) for number in range(0, 16, 2)]
    write_jsonl(tmp_path / "plain.jsonl", plain)
    outcome = trained(path, "--set", f"data={tmp_path}/plain.jsonl", "--set", "clock=2025-01-01")
    assert "set the tokenizer's bos_token to '<|begin_of_text|>'" in outcome.err
    served = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert served.bos_token == "<|begin_of_text|>"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("trainer.learning_rat=1", "SFTConfig has no option 'learning_rat'"),
        ("trainer.bf16=yes please", "trainer.bf16 cannot be 'yes please'"),
        ("trainer.max_steps=2.5", "trainer.max_steps cannot be 2.5"),
        ("trainer.optim=adamm", "trl rejects these settings"),
        ("trainer.use_liger_kernel=true", "use_liger_kernel requires liger-kernel, which is not installed"),
        ("lora={rank: 3, merge: true}", "LoraConfig has no argument 'rank'"),
        ("model.config.hidden=3", "the config of a llama model has no 'hidden'"),
        ("model.config.model_type=lama", "transformers has no model_type 'lama'"),
        ("model.config.num_attention_heads=5", "model.config is not the config of a model"),
        ("model=/no/such/model", "there is no model at /no/such/model"),
        ("tokenizer=/no/such.json", "cannot load the tokenizer '/no/such.json'"),
        ("template=qwen33", "there is no template 'qwen33'"),
        ("template.retention=some", "'some'"),
        ("template.kwargs.thinking=1", "reads no kwarg 'thinking'"),
        ("data=/no/such.jsonl", "cannot read /no/such.jsonl"),
        ("vibe.prompts=[{role: user}]", "vibe.prompts[0]: messages: must be a list"),
        ("stop_tokens=[<nothing>]", "<nothing>"),
    ],
)
def test_what_cannot_be_done_is_one_error(setting: str, problem: str, tmp_path: Path) -> None:
    if "liger" in setting and find_spec("liger_kernel") is not None:
        pytest.skip("liger-kernel is installed")
    path = write_run(tmp_path, template={"name": "hybrid"}, trainer={"max_steps": 1})
    assert problem in refused(path, "--set", setting)
    assert not list((tmp_path / "out").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("keys", "problem", "column"),
    [
        ({"trainer": {"optim": "adammm"}}, "trl rejects these settings", '"optim"'),
        ({"trainer": {"lr_scheduler_type": "cosin"}}, "trl rejects these settings", '"lr_scheduler_type"'),
        ({"lora": {"r": 4, "targets": ["q_proj"], "merge": True}}, "no argument 'targets'", '"targets"'),
        ({"model": {"config": {"model_type": "llama", "hiden": 8}}}, "has no 'hiden'", '"hiden"'),
        ({"model": {"config": {"model_type": "llama"}, "dtype": "bfloat"}}, "unknown dtype 'bfloat'", '"dtype"'),
        ({"stop_tokens": ["<|nope|>"]}, "none of the stop tokens <|nope|>", '"stop_tokens"'),
        ({"data": "nope.jsonl"}, "nope.jsonl", '"data"'),
    ],
)
def test_a_mistake_is_shown_in_the_configuration_before_anything_is_encoded(
    keys: dict[str, Any], problem: str, column: str, tmp_path: Path
) -> None:
    error = refused(write_run(tmp_path, **keys))
    assert problem in error
    (shown,) = [line for line in error.splitlines() if " | " in line and not line.strip().startswith("|")]
    assert shown.partition(" | ")[2].strip().startswith(column)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_is_refused_before_anything_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = refused(write_run(tmp_path, model="./empty"))
    assert "cannot load the model" in error
    assert not (tmp_path / "out").exists()


def test_a_model_from_scratch_has_the_configured_dtype(tmp_path: Path) -> None:
    from chattmpl.training.config import load_config
    from chattmpl.training.model import load_model
    from chattmpl.training.resolved_run import load_tokenizer
    from support.training import SMALL

    path = write_run(tmp_path, model={"config": SMALL, "dtype": "bfloat16", "attn_implementation": "eager"})
    model = load_model(load_config(path)[0], load_tokenizer("demo"), {1: "<|im_end|>"})
    assert str(model.dtype) == "torch.bfloat16"
    assert model.config._attn_implementation == "eager"


def test_data_without_rows_to_train_on_are_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    write_jsonl(tmp_path / "data.jsonl", [{"messages": [{"role": "user", "content": "?"}]}] * 3)
    error = refused(path)
    assert "3 of 3 rows cannot be trained on; the first is" in error
    assert "data.jsonl:1: " in error
    assert "hint: remove conversations without an answer, and check flags such as train: false; or set max_rej" in error
    assert "there are no rows to train on" in refused(path, "--set", "max_rejected=100%")


def test_a_folder_that_holds_something_else_is_not_written_to(base: Path, tmp_path: Path) -> None:
    assert "contains files that chattmpl did not write" in refused(write_run(tmp_path, output=str(base)), "--force")


# -- resuming


def test_an_error_of_training_names_the_checkpoint_to_resume_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    step, done = SFTTrainer.training_step, []

    def failing(*args: Any, **kwargs: Any) -> Any:
        done.append(1)
        if len(done) > 2:
            raise RuntimeError("CUDA out of memory")
        return step(*args, **kwargs)

    path = write_run(tmp_path, trainer={"save_steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", failing)
        error = refused(path)
    assert "training failed: RuntimeError: CUDA out of memory" in error
    assert f"run the same command again to resume from {tmp_path}/out/checkpoint-2" in error
    assert "resuming from" in trained(path).err


def test_data_that_changed_are_refused_while_there_are_checkpoints(tmp_path: Path) -> None:
    path = write_run(tmp_path, trainer={"max_steps": 2})
    trained(path)
    write_jsonl(tmp_path / "data.jsonl", [conversation(number) for number in range(1, 17)])
    error = refused(path)
    assert "the data changed" in error
    assert "--force" in error
    assert "trained 2 steps" in trained(path, "--force").out


def test_a_checkpoint_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    path = write_run(tmp_path, trainer={"save_steps": 1})
    trained(path)
    whole, cut = tmp_path / "out", tmp_path / "cut"
    trained(path, "--set", f"output={cut}")
    said = record(cut)
    (cut / "chattmpl.json").write_text(json.dumps({**said, "trained": None}), encoding="utf-8")
    (cut / "checkpoint-4" / "chattmpl.json").unlink()
    (cut / "checkpoint-4" / "optimizer.pt").write_bytes(b"")
    (cut / "model.safetensors").unlink()
    outcome = trained(path, "--set", f"output={cut}")
    assert "/checkpoint-4: it is incomplete" in outcome.err
    assert f"resuming from {cut}/checkpoint-3" in outcome.err
    assert record(cut)["trained"] == record(whole)["trained"]
    assert apart(cut, whole) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_resumes_and_ends_the_same(tmp_path: Path) -> None:
    steps = {"max_steps": 40, "save_steps": 5, "logging_steps": 5, "gradient_accumulation_steps": 2}
    path = write_run(tmp_path, rows=30, trainer=steps)
    killed, whole = tmp_path / "out", tmp_path / "whole"
    command = [str(PROGRAM), "train", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 600
        while not list(killed.glob("checkpoint-*/chattmpl.json")) and process.poll() is None:
            assert time.monotonic() < ends, "no checkpoint was written"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert record(killed)["trained"] is None
    again = run_here(["train", str(path)])
    assert again.code == 0, again.err
    assert "note: resuming from " in again.err
    alone = run_here(["train", str(path), "--set", f"output={whole}"])
    assert alone.code == 0, alone.err
    assert record(killed)["trained"] == record(whole)["trained"]
    assert record(killed)["trained"]["steps"] == 40
    assert apart(killed, whole) == 0
