"""Model directories at every entry point: special tokens and named templates, compared with transformers."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from support.extras import need

need("numpy", "pyarrow", "transformers", session="transformers")

from chattmpl import Encoder, Template  # noqa: E402
from chattmpl.data.encoder import UnreadDataWarning  # noqa: E402
from chattmpl.encode import load_tokenizer, special_tokens_of  # noqa: E402
from chattmpl.encode.tokenizer_loader import DEMO_FILE  # noqa: E402
from chattmpl.errors import EncodeError, TemplateError  # noqa: E402
from chattmpl.probing import facts_of  # noqa: E402
from chattmpl.probing.control_tokens import missing_tokens  # noqa: E402
from chattmpl.template.family import family_for_tokens, family_names  # noqa: E402
from support.command import Outcome, run_here  # noqa: E402
from support.fetched import REAL_TOKENIZERS, real_tokenizer_path  # noqa: E402
from support.small_tokenizers import tokenizers_without_bytes  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.upstream]

TAGGED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
)
PLAIN = TAGGED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Name a river"}, {"role": "assistant", "content": "The Loire."}]
}
TOOL = {"type": "function", "function": {"name": "tide", "description": "Tide", "parameters": {"type": "object"}}}
NAMES = ("messages", "tools")
WITH_TOOLS = {**CHAT, "tools": [TOOL]}


def added(content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False)
    return {"__type": "AddedToken", "content": content, "special": True, **flags}


DECODER = {"3072": {**added("<|endoftext|>"), "__type": "AddedToken"}}
DECODER["3072"].pop("__type")

CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "strings": ({"bos_token": "<bos>", "eos_token": "<eos>"}, None),
    "dicts": ({"bos_token": added("<bos>"), "eos_token": added("<eos>")}, None),
    "null": ({"bos_token": None, "eos_token": "<|im_end|>"}, None),
    "one is left out": ({"eos_token": "<|im_end|>"}, None),
    "the map alone": ({}, {"bos_token": "<bos>", "eos_token": {"content": "<eos>", "lstrip": False}}),
    "the map overrides": ({"bos_token": "<|im_start|>", "eos_token": "<eos>"}, {"bos_token": "<bos>"}),
    "the map does not count": (
        {"bos_token": "<bos>", "eos_token": "<eos>", "added_tokens_decoder": DECODER},
        {"bos_token": "<|im_start|>"},
    ),
    "tokens of the model": (
        {"bos_token": "<bos>", "eos_token": "<eos>", "image_token": "<|image_pad|>"},
        None,
    ),
    "named extra tokens": (
        {"bos_token": "<bos>", "eos_token": "<eos>", "extra_special_tokens": {"image_token": "<|image_pad|>"}},
        None,
    ),
    "listed extra tokens": (
        {"bos_token": "<bos>", "eos_token": "<eos>", "additional_special_tokens": ["<|image_pad|>"]},
        None,
    ),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a directory with the tokenizer that ships with chattmpl."""
    shutil.copy(DEMO_FILE, tmp_path / "tokenizer.json")
    return tmp_path


def configure(folder: Path, config: dict[str, Any], mapped: dict[str, Any] | None = None) -> Path:
    given = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(given))
    if mapped is not None:
        (folder / "special_tokens_map.json").write_text(json.dumps(mapped))
    return folder


def upstream(folder: Path) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(str(folder))


def expected_ids(folder: Path, chat: dict[str, Any], **options: Any) -> list[int]:
    ids = upstream(folder).apply_chat_template(
        chat["messages"], tools=chat.get("tools"), tokenize=True, return_dict=False, **options
    )
    return list(ids)


AS_TRANSFORMERS: Any = {"rows": "one", "mask_from": "tags", "straddle": "include"}
"""The options with which rows are those of transformers: one per conversation, masked by generation tags."""

FLAGS = ("--rows", "one", "--mask-from", "tags", "--straddle", "include")
"""The same as options of the command line."""


def rows_of(template: Any, tokenizer: Any, fast: Any, chats: list[dict[str, Any]]) -> list[list[int]]:
    batch = {name: [chat.get(name) for chat in chats] for name in NAMES}
    return [
        list(map(int, ids)) for ids in Encoder(template, tokenizer, fast=fast, **AS_TRANSFORMERS)(batch)["input_ids"]
    ]


def write(path: Path, *chats: Any) -> str:
    path.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return str(path)


def run(*arguments: str) -> Outcome:
    return run_here(list(arguments))


def encoded(data: str, template: str, tokenizer: str, out: Path, *options: str) -> list[list[int]]:
    result = run("encode", data, "-t", template, "--tokenizer", tokenizer, "-o", str(out), "--force", *FLAGS, *options)
    assert result.code == 0, result.err
    return [json.loads(line)["input_ids"] for line in out.read_text().splitlines()]


# -- text that is not in the vocabulary


@pytest.mark.parametrize("kind", tokenizers_without_bytes())
def test_a_character_that_the_tokenizer_does_not_know_is_encoded_at_every_entry_point(
    tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("datasets")
    from chattmpl.training.adapter.prepare import prepare

    tokenizers_without_bytes()[kind].save(str(tmp_path / "tokenizer.json"))
    configure(tmp_path, {"unk_token": "<unk>", "eos_token": "<|im_end|>"})
    (tmp_path / "chat_template.jinja").write_text(TAGGED.replace("{{ bos_token }}", ""))
    chats = [CHAT, {"messages": [CHAT["messages"][0], {"role": "assistant", "content": "La rivière ~ 川."}]}]
    wanted = [expected_ids(tmp_path, chat) for chat in chats]
    masks = [
        upstream(tmp_path).apply_chat_template(chat["messages"], return_dict=True, return_assistant_tokens_mask=True)
        for chat in chats
    ]
    data = write(tmp_path / "chats.jsonl", *chats)
    out = str(tmp_path / "out.jsonl")
    done = run("encode", data, "-t", str(tmp_path), "--tokenizer", str(tmp_path), "-o", out, *FLAGS)
    assert [json.loads(line)["input_ids"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == wanted
    assert "texts that are not in the vocabulary: " in done.out
    for fast in ("off", "auto"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert rows_of(str(tmp_path), str(tmp_path), fast, chats) == wanted
    prepared = [dict(row) for row in prepare(chats, str(tmp_path), str(tmp_path), fast="off", **AS_TRANSFORMERS)]
    assert [row["input_ids"] for row in prepared] == wanted
    assert [[int(label != -100) for label in row["labels"]] for row in prepared] == [
        mask["assistant_masks"] for mask in masks
    ]
    audited = run("audit", data, "-t", str(tmp_path), "--tokenizer", str(tmp_path), "--select", "AU1,AU4")
    assert "AU403" in audited.out
    assert "AU109" not in audited.out


# -- templates of another model

OWN = {"qwen3": "qwen3", "llama3_1": "llama3", "gemma3": "gemma3", "deepseek_v3": "deepseek_r1", "gptoss": "gpt_oss"}
FITS = {name: {family} for name, family in OWN.items()} | {"qwen3": {"qwen3", "chatml", "hybrid", "smollm3"}}


@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_control_tokens_that_a_real_tokenizer_lacks_are_found_for_other_families_only(name: str) -> None:
    tokenizer = load_tokenizer(real_tokenizer_path(name))
    fits = {
        family for family in family_names() if not missing_tokens(facts_of(Template.load(family)).prober, tokenizer)
    }
    assert fits == FITS[name]
    assert family_for_tokens({token.content for token in tokenizer.added.values()}) == OWN[name]


_EACH = "{% for m in messages %}"
_USER = "{% if m.role == 'user' %}"
_ANSWER = "{% else %}{% generation %}{{ m.content }}"
_END = "{% endgeneration %}{% endif %}{% endfor %}"
FORMS = {
    "angle": (
        f"{_EACH}{_USER}<start_of_turn>user\n{{{{ m.content }}}}<end_of_turn>{_ANSWER}<end_of_turn>{_END}",
        "<start_of_turn>",
    ),
    "square": (f"{_EACH}{_USER}[INST] {{{{ m.content }}}} [/INST]{_ANSWER}</s>{_END}", "[INST]"),
    "bos": (f"<s>{_EACH}{_USER}{{{{ m.content }}}}<|sep|>{_ANSWER}<|end|>{_END}", "<s>"),
    "wide": (
        f"{_EACH}{_USER}<｜User｜>{{{{ m.content }}}}<｜Assistant｜>{_ANSWER}<｜end▁of▁sentence｜>{_END}",
        "<｜User｜>",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_control_tokens_of_every_form_are_missed(tmp_path: Path, form: str) -> None:
    source, token = FORMS[form]
    (tmp_path / "t.jinja").write_text(source)
    data, options = write(tmp_path / "chats.jsonl", CHAT), ("-t", str(tmp_path / "t.jinja"), "--tokenizer")
    tokenizer = str(real_tokenizer_path("qwen3"))
    assert (
        f"{token}"
        in run("encode", data, *options, tokenizer, "-o", str(tmp_path / "out")).err.partition(" of the tokenizer")[0]
    )
    audited = json.loads(run("audit", data, *options, tokenizer, "--select", "AU404", "--format", "json").out)
    assert [token in finding["message"] for finding in audited["findings"]] == [True]
    linted = json.loads(run("lint", *options[1:], tokenizer, "--select", "CT601", "--format", "json").out)
    assert {finding["code"] for finding in linted} == {"CT601"}


_TEXT = f"{_EACH}{{% if loop.first %}}Use <a>.{{% endif %}}<think>\\n</think>{{{{ m.content }}}}</s>{{% endfor %}}"


@pytest.mark.parametrize("source", [FORMS["square"][0], _TEXT])
def test_markers_that_are_text_to_the_model_are_no_missing_tokens(source: str) -> None:
    tokenizer = load_tokenizer(real_tokenizer_path("llama2"))
    assert missing_tokens(facts_of(Template.from_source(source)).prober, tokenizer) == []


@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_a_template_of_another_model_is_one_clear_finding(tmp_path: Path, name: str) -> None:
    tokenizer = str(real_tokenizer_path(name))
    other = "chatml" if name != "qwen3" else "llama3"
    data = write(tmp_path / "chats.jsonl", *[CHAT] * 3)
    done = run("encode", data, "-t", other, "--tokenizer", tokenizer, "-o", str(tmp_path / "out.jsonl"))
    assert done.err.startswith("note: CT601: <|")
    assert done.err.count("CT601") == 1
    assert f"such as the family {OWN[name]}" in done.err
    audited = run("audit", data, "-t", other, "--tokenizer", tokenizer, "--format", "json", "--ignore", "AU6")
    assert audited.code == 1
    assert "AU404" in [finding["code"] for finding in json.loads(audited.out)["findings"]]
    assert "AU106" not in [finding["code"] for finding in json.loads(audited.out)["findings"]]
    linted = run("lint", other, "--tokenizer", tokenizer, "--select", "CT601", "--format", "json")
    assert {finding["code"] for finding in json.loads(linted.out)} == {"CT601"}
    fine = run("encode", data, "-t", OWN[name], "--tokenizer", tokenizer, "-o", str(tmp_path / "fine.jsonl"))
    assert (fine.code, "CT601" in fine.err) == (0, False)


@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_a_real_tokenizer_without_a_template_names_its_family(tmp_path: Path, name: str) -> None:
    shutil.copy(real_tokenizer_path(name), tmp_path / "tokenizer.json")
    data = write(tmp_path / "chats.jsonl", CHAT)
    done = run("render", data, "-t", str(tmp_path))
    assert done.code == 2
    assert "holds no chat template" in done.err
    assert f"the family {OWN[name]} has the control tokens of its tokenizer" in done.err


# -- special tokens


@pytest.mark.upstream
@pytest.mark.parametrize("name", CONFIGS)
def test_special_tokens_are_those_of_transformers(model: Path, name: str) -> None:
    configure(model, *CONFIGS[name])
    known = {key: token for key, token in special_tokens_of(model).items() if token is not None}
    assert known == dict(upstream(model).special_tokens_map)


@pytest.mark.upstream
@pytest.mark.parametrize("name", CONFIGS)
def test_a_template_file_gets_them_at_every_entry_point(model: Path, tmp_path: Path, name: str) -> None:
    configure(model, *CONFIGS[name])
    file = tmp_path / "tagged.jinja"
    file.write_text(TAGGED + "{{ image_token }}" * ("model" in name or "named" in name))
    wanted = expected_ids(model, CHAT, chat_template=file.read_text())
    data = write(tmp_path / "chats.jsonl", CHAT)
    assert encoded(data, str(file), str(model), tmp_path / "out.jsonl") == [wanted]
    for fast in ("off", "require"):
        assert rows_of(str(file), str(model), fast, [CHAT]) == [wanted]
    for tokenizer in (model, model / "tokenizer.json", upstream(model)):
        template = Template.load(file, tokenizer=tokenizer)
        assert template.render(CHAT).encode(tokenizer).input_ids == wanted
    shown = run("render", data, "-t", str(file), "--tokenizer", str(model), "--format", "json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["input_ids"] == wanted


def test_prepare_gets_them_too(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    from chattmpl.training.adapter.prepare import prepare

    configure(model, {"bos_token": "<bos>", "eos_token": "<eos>"})
    file = tmp_path / "tagged.jinja"
    file.write_text(TAGGED)
    rows = prepare([CHAT], str(file), str(model), **AS_TRANSFORMERS)
    assert rows[0]["input_ids"] == rows_of(str(file), str(model), "auto", [CHAT])[0]
    assert rows[0]["input_ids"][0] == upstream_id(model, "<bos>")


def upstream_id(folder: Path, token: str) -> int | None:
    from tokenizers import Tokenizer

    found: int | None = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(token)
    return found


@pytest.mark.parametrize("command", ["audit", "stats", "encode", "render"])
def test_a_token_that_is_not_known_is_an_error_that_names_it(model: Path, tmp_path: Path, command: str) -> None:
    file = tmp_path / "tagged.jinja"
    file.write_text(TAGGED)
    data = write(tmp_path / "chats.jsonl", CHAT)
    rest = ["-o", str(tmp_path / "out.jsonl")] if command == "encode" else []
    result = run(command, data, "-t", str(file), "--tokenizer", str(model), *rest)
    assert result.code == 2
    assert "the special tokens bos_token, eos_token" in result.err
    assert "--set bos_token=" in result.err


def test_it_can_be_given_as_a_template_kwarg(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "tagged.jinja"
    file.write_text(TAGGED)
    data = write(tmp_path / "chats.jsonl", CHAT)
    tokens = ("--set", "bos_token=<bos>", "--set", "eos_token=<eos>")
    [ids] = encoded(data, str(file), str(model), tmp_path / "out.jsonl", *tokens)
    assert (ids[0], ids[-1]) == (upstream_id(model, "<bos>"), upstream_id(model, "<eos>"))
    none = ("--set", "bos_token=null", "--set", "eos_token=<eos>")
    assert encoded(data, str(file), str(model), tmp_path / "out.jsonl", *none) == [ids[1:]]


def test_a_rendering_without_them_is_not_encoded(model: Path) -> None:
    template = Template.from_source(TAGGED)
    with pytest.raises(TemplateError, match="bos_token, eos_token, which no tokenizer defines"):
        template.render(CHAT).encode(model)
    assert template.render(CHAT, bos_token="", eos_token="").encode(model).input_ids


def test_a_template_that_only_tests_for_a_token_is_rendered_where_there_is_none(model: Path) -> None:
    configure(model, {"bos_token": None, "eos_token": "<|im_end|>"})
    template = Template.from_source("{% if bos_token %}B{% endif %}x")
    assert template.with_tokens(special_tokens_of(model)).render(CHAT).encode(model).text == "x"


def test_a_family_keeps_its_own_tokens(model: Path) -> None:
    configure(model, {"bos_token": "<bos>", "eos_token": "<eos>"})
    assert Template.load("llama3", tokenizer=model).tokens == Template.load("llama3").tokens


def test_tokens_that_were_given_in_python_override_those_of_the_tokenizer(model: Path) -> None:
    configure(model, {"bos_token": "<bos>", "eos_token": "<eos>"})
    template = Template.from_source(PLAIN, tokens={"bos_token": "<|im_start|>"})
    assert Encoder(template, str(model)).template.tokens["bos_token"] == "<|im_start|>"


def test_laws_on_placeholders_say_so(tmp_path: Path, model: Path) -> None:
    file = tmp_path / "tagged.jinja"
    file.write_text(TAGGED)
    shown = run("check", str(file), "--examples", "0", "--law", "single-bos", "--format", "text")
    assert "placeholders stand for bos_token, eos_token" in shown.out
    configure(model, {"bos_token": "<bos>", "eos_token": "<eos>"})
    shown = run("check", str(file), "--examples", "0", "--law", "single-bos", "--tokenizer", str(model))
    assert "placeholders stand" not in shown.out


def test_diff_and_engines_render_with_them(tmp_path: Path, model: Path) -> None:
    configure(model, {"bos_token": "<bos>", "eos_token": "<eos>"})
    tagged, other = tmp_path / "tagged.jinja", tmp_path / "other.jinja"
    tagged.write_text(TAGGED)
    other.write_text(TAGGED.removeprefix("{{ bos_token }}"))
    for options, told in (((), "placeholders stand for bos_token, eos_token"), (("--tokenizer", str(model)), "")):
        compared = run("diff", str(tagged), str(other), "--no-laws", *options)
        assert compared.code == 1
        assert ("<bos>" if options else "<|bos_token|>") in compared.out
        assert told in compared.err
        rendered = run("engines", str(tagged), "--engine", "tgi", *options)
        assert (rendered.code, "note: " in rendered.err) == (0, not options)


# -- named templates


USED = "{% for m in messages %}T{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}"
OTHER = USED.replace("T{%", "D{%")


def place(folder: Path, where: str) -> Path:
    named = [{"name": "default", "template": OTHER}, {"name": "tool_use", "template": USED}]
    if where == "list":
        return configure(folder, {"eos_token": "<|im_end|>", "chat_template": named})
    configure(folder, {"eos_token": "<|im_end|>"})
    if where == "files":
        (folder / "chat_template.jinja").write_text(OTHER)
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(USED)
    return folder


@pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.UnreadDataWarning")  # its templates print no tools
@pytest.mark.parametrize("where", ["list", "files"])
@pytest.mark.parametrize("fast", ["off", "require"])
def test_rows_with_tools_are_rendered_with_the_template_for_tools(
    model: Path, tmp_path: Path, where: str, fast: str
) -> None:
    place(model, where)
    rows: list[dict[str, Any]] = [CHAT, WITH_TOOLS, {**CHAT, "tools": []}, {**CHAT, "tools": None}]
    clean = {"default": OTHER, "tool_use": USED}
    tokenizer = upstream(model)
    assert tokenizer.chat_template == clean
    wanted = [expected_ids(model, row) for row in rows]
    assert len({tuple(ids) for ids in wanted}) == 2
    data = write(tmp_path / "chats.jsonl", *rows)
    out = tmp_path / "out.jsonl"
    assert encoded(data, str(model), str(model), out, "--fast", fast) == wanted
    for which in (str(model), tokenizer):
        assert rows_of(which, str(model), fast, rows) == wanted
    one = expected_ids(model, CHAT)
    assert encoded(data, str(model), str(model), out, "--variant", "default", "--fast", fast) == [one] * 4


def test_the_choice_is_noted(model: Path, tmp_path: Path) -> None:
    place(model, "list")
    data, other = write(tmp_path / "tools.jsonl", WITH_TOOLS, CHAT), write(tmp_path / "chats.jsonl", CHAT)
    noted = "the template 'tool_use' renders 1 row with tools"
    encode = ("-t", str(model), "--tokenizer", str(model), "-o", str(tmp_path / "out"), "--force")
    for command, options in (("render", ("-t", str(model))), ("encode", encode), ("stats", encode[:4])):
        assert noted in run(command, data, *options).err
        assert noted not in run(command, other, *options).err
        assert noted not in run(command, data, *options, "--variant", "default").err
    from chattmpl.training.adapter.prepare import prepare

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Encoder(str(model), str(model)).encode_many([WITH_TOOLS])
        prepare([WITH_TOOLS, CHAT], str(model), str(model))
    said = [str(each.message) for each in caught if each.category is UnreadDataWarning]
    assert any(each.startswith("the template 'tool_use' renders some rows") for each in said)
    assert any(each.startswith(noted) for each in said)


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_the_template_of_a_processor_is_found(model: Path, name: str) -> None:
    configure(model, {"eos_token": "<|im_end|>"})
    (model / name).write_text(json.dumps({"chat_template": USED}))
    assert Template.load(model).source == USED
    assert Template.load(model / name).tokens == {"eos_token": "<|im_end|>"}


def test_both_templates_are_annotated_for_training(model: Path) -> None:
    place(model, "files")
    for file in model.rglob("*.jinja"):
        bare = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        file.write_text(bare + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    made = Template.load(model).annotate(examples=0).template
    assert made.tool_use is not None
    assert made.program.has_generation
    assert made.tool_use.program.has_generation
    assert made.render(WITH_TOOLS).generated


# -- tokens that only other files declare

ENTRY = {**added("<turn>"), "rstrip": True}

DECLARING: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, int] | None]] = {
    "named": ({"bos_token": "<first>", "pad_token": "[PAD]", "unk_token": "<unk>"}, None, None),
    "named dicts": ({"eos_token": ENTRY, "cls_token": {**ENTRY, "content": "<cls>"}}, None, None),
    "of the model": ({"image_token": "<image>", "eos_token": "<last>"}, None, None),
    "additional": ({"additional_special_tokens": ["<one>", ENTRY]}, None, None),
    "extra": ({"extra_special_tokens": ["<one>", "<two>"], "bos_token": "<first>"}, None, None),
    "extra and named": ({"extra_special_tokens": {"video_token": "<video>"}, "bos_token": "<first>"}, None, None),
    "mapped": ({"bos_token": "<b>"}, {"bos_token": "<first>", "additional_special_tokens": ["<one>"]}, None),
    "a list of its own": ({"eos_token": "<two>"}, None, {"<two>": 3145, "<one>": 3146}),
    "a decoder beside": (
        {
            "added_tokens_decoder": {"3145": {key: value for key, value in ENTRY.items() if key != "__type"}},
            "pad_token": "<pad>",
        },
        {"bos_token": "<b>"},
        None,
    ),
}


@pytest.mark.filterwarnings("ignore::chattmpl.data.encoder.FastPathWarning")
@pytest.mark.parametrize("case", DECLARING)
def test_tokens_that_only_other_files_declare_are_those_of_transformers(case: str, model: Path) -> None:
    config, mapped, listed = DECLARING[case]
    configure(model, config, mapped)
    if listed is not None:
        (model / "added_tokens.json").write_text(json.dumps(listed))
    reference = upstream(model)
    tokenizer = load_tokenizer(str(model))
    theirs = {index: (str(token), token.special) for index, token in reference.added_tokens_decoder.items()}
    assert {index: (token.content, token.special) for index, token in tokenizer.added.items()} == theirs
    text = " a river ".join(content for content, _ in theirs.values())
    ids = list(reference(text, add_special_tokens=False)["input_ids"])
    template = Template.from_source("{{ messages[0].content }}")
    rendering = template.render([{"role": "user", "content": text}])
    assert rendering.encode(str(model), control_tokens="allow").input_ids == ids
    record = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a river"}]}
    written = "".join(content for content, _ in theirs.values())
    tagged = Template.from_source(
        written + "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    )
    expected = list(reference(written + "hia river", add_special_tokens=False)["input_ids"])
    for fast in ("off", "auto"):
        assert rows_of(tagged, str(model), fast, [record]) == [expected], fast


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("bos_token", {"bos_token": 5}),
        ("eos_token", {"eos_token": ["<eos>"]}),
        ("pad_token", {"pad_token": {"content": None}}),
        ("unk_token", {"unk_token": False}),
        ("image_token", {"extra_special_tokens": {"image_token": 7}}),
    ],
)
@pytest.mark.parametrize("command", ["encode", "render", "lint"])
def test_a_special_token_of_another_type_is_an_error_that_names_file_and_key(
    model: Path, command: str, name: str, entry: dict[str, Any], file: str
) -> None:
    (model / "tokenizer_config.json").write_text("{}")
    (model / file).write_text(json.dumps(entry))
    (model / "chat_template.jinja").write_text(TAGGED)
    data = model / "chats.jsonl"
    data.write_text(json.dumps(CHAT))
    rest = {"encode": ["--tokenizer", str(model), "-o", str(model / "o")], "render": [], "lint": []}[command]
    first = [str(model)] if command == "lint" else [str(data), "-t", str(model)]
    result = run_here([command, *first, *rest])
    assert result.code == 2
    assert f"{model / file}: {name} must be a token" in result.err


@pytest.mark.parametrize("entry", [{"extra_special_tokens": [7]}, {"additional_special_tokens": "<image>"}])
def test_further_special_tokens_of_another_type_are_an_error_that_names_the_key(
    model: Path, entry: dict[str, Any]
) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps(entry))
    with pytest.raises(EncodeError, match=f"tokenizer_config.json: {next(iter(entry))} must be a list or an object"):
        load_tokenizer(str(model))


@pytest.mark.parametrize("given", ["directory", "object"])
def test_a_tokenizer_that_splits_control_tokens_is_refused(model: Path, given: str) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<eos>", "split_special_tokens": True}))
    from transformers import AutoTokenizer

    tokenizer = str(model) if given == "directory" else AutoTokenizer.from_pretrained(str(model))
    with pytest.raises(EncodeError, match="split_special_tokens is true"):
        load_tokenizer(tokenizer)
