"""The resolver of templates: names, files and directories, special tokens, and kwargs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chattmpl import Conversation, Template
from chattmpl.encode import template_for
from chattmpl.errors import FamilyError, TemplateError, UsageError
from chattmpl.template.family import SEARCH_PATH, family_names, load_family
from support.small_tokenizers import byte_level_bpe, with_control

SOURCE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
MESSAGES = [{"role": "user", "content": "hi"}]


def text_of(template: Template) -> str:
    return template.render(MESSAGES).text


def write_model(folder: Path, config: dict[str, Any], **files: str) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.jinja").write_text(content)
    return folder


def test_a_family_by_name() -> None:
    template = Template.load("qwen3")
    assert (template.name, template.retention) == ("qwen3", "since_last_user")
    assert template.family is load_family("qwen3")
    assert repr(template) == "Template('qwen3', retention='since_last_user')"


def test_a_jinja_file_as_a_string_and_as_a_path(tmp_path: Path) -> None:
    path = tmp_path / "chat.jinja"
    path.write_text("x{{ messages[0].content }}")
    for which in (path, str(path)):
        template = Template.load(which)
        assert (text_of(template), template.name, template.family) == ("xhi", str(path), None)


def test_line_breaks_of_a_file_are_read_as_jinja_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "chat.jinja"
    path.write_bytes(b"a\r\n{{ messages[0].content }}\rb\r\n")
    assert text_of(Template.load(path)) == "a\nhi\nb"


@pytest.mark.parametrize("bos", ["<s>", {"content": "<s>", "lstrip": False}])
def test_a_tokenizer_config_brings_its_special_tokens(tmp_path: Path, bos: Any) -> None:
    write_model(tmp_path, {"chat_template": SOURCE, "bos_token": bos, "eos_token": None})
    for which in (tmp_path, tmp_path / "tokenizer_config.json"):
        assert text_of(Template.load(which)) == "<s>hi"


def test_a_chat_template_file_wins_over_the_config(tmp_path: Path) -> None:
    write_model(tmp_path, {"chat_template": "config", "bos_token": "<s>"}, chat_template=SOURCE)
    assert text_of(Template.load(tmp_path)) == "<s>hi"


def test_special_tokens_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(SOURCE)
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": "<b>"}, "unk_token": "<u>"}))
    assert text_of(Template.load(tmp_path)) == "<b>hi"


@pytest.mark.parametrize(
    "named",
    [
        [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}],
        {"default": "D", "tool_use": "T"},
    ],
)
def test_one_of_several_named_templates_is_chosen(tmp_path: Path, named: Any) -> None:
    write_model(tmp_path, {"chat_template": named})
    assert text_of(Template.load(tmp_path)) == "D"
    assert text_of(Template.load(tmp_path, variant="tool_use")) == "T"
    with pytest.raises(TemplateError, match="no template named 'rag'") as caught:
        Template.load(tmp_path, variant="rag")
    assert "default, tool_use" in str(caught.value)


def test_an_additional_template_of_a_model_directory(tmp_path: Path) -> None:
    write_model(tmp_path, {}, chat_template="D")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("R")
    assert text_of(Template.load(tmp_path, variant="rag")) == "R"


GEMMA = ("<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>")


@pytest.mark.parametrize("key", ["added_tokens", "added_tokens_decoder"])
def test_a_model_directory_without_a_template_names_the_family_of_its_tokenizer(tmp_path: Path, key: str) -> None:
    listed = [{"content": content} for content in GEMMA]
    file = tmp_path / ("tokenizer.json" if key == "added_tokens" else "tokenizer_config.json")
    file.write_text(json.dumps({key: listed if key == "added_tokens" else dict(enumerate(listed))}))
    with pytest.raises(TemplateError, match=r"holds no chat template\n.*the family gemma3 has the control tokens"):
        Template.load(tmp_path)
    file.write_text('{"added_tokens": [1]}')
    with pytest.raises(TemplateError, match=r"holds no chat template\n.*chattmpl families lists them"):
        Template.load(tmp_path)


def test_a_tokenizer_object_without_a_template_names_the_family_that_fits() -> None:
    tokenizer = SimpleNamespace(chat_template=None, name_or_path="m", added_tokens_decoder=dict(enumerate(GEMMA)))
    with pytest.raises(TemplateError, match=r"the tokenizer m holds no chat template\n.*the family gemma3"):
        Template.load(tokenizer)


def test_a_name_without_a_template_names_the_family_that_fits_the_tokenizer() -> None:
    tokenizer = with_control(byte_level_bpe())
    with pytest.raises(UsageError, match="hint: the family qwen3 has the control tokens of the tokenizer; or"):
        Template.load("someone/model", tokenizer=tokenizer)
    with pytest.raises(UsageError, match="hint: the family qwen3 has the control tokens of the tokenizer; or"):
        template_for("someone/model", tokenizer)


def test_a_hub_id_names_the_command_that_downloads_it() -> None:
    with pytest.raises(UsageError, match=r"hf download Qwen/Qwen3-8B .* or choose the family qwen3, the template of Q"):
        Template.load("Qwen/Qwen3-8B")
    with pytest.raises(UsageError, match=r"hf download someone/model .*--local-dir FOLDER$"):
        Template.load("someone/model")


def test_a_tokenizer_object_brings_template_and_tokens() -> None:
    tokenizer = SimpleNamespace(
        chat_template=SOURCE, special_tokens_map={"bos_token": "<s>", "eos_token": "</s>"}, name_or_path="org/model"
    )
    template = Template.load(tokenizer)
    assert text_of(template) == "<s>hi"
    assert "model" in template.name
    with pytest.raises(UsageError, match="is loaded from"):
        Template.load(SimpleNamespace(chat_template=None))


def test_a_family_is_a_folder_and_can_be_added_without_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "template.jinja").write_text(
        "{% for m in messages %}{% reasoning %}r{% endreasoning %}{{ m.content }}{% endfor %}"
    )
    (folder / "family.toml").write_text(
        'name = "mine"\ntitle = "Mine"\ndescription = "Mine."\n[generation]\nstop_tokens = ["</s>"]\n'
        '[supports]\nsystem = true\n[retention]\ndefault = "none"\n'
    )
    assert text_of(Template.load(folder)) == "hi"
    monkeypatch.setenv(SEARCH_PATH, str(tmp_path))
    assert "mine" in family_names()
    assert Template.load("mine", retention="all").render(MESSAGES).text == "rhi"
    assert "chatml" in family_names()


def test_a_family_without_a_template_is_refused(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text("")
    with pytest.raises(FamilyError, match=r"needs the file .*template\.jinja"):
        Template.load(tmp_path)


# -- kwargs

KWARGS = "{{ date }}|{{ date is defined }}|{{ x | default('d') }}{% if enable_thinking %}T{% endif %}"


def test_none_is_as_absent() -> None:
    template = Template.from_source(KWARGS)
    assert template.render(MESSAGES, date=None, x=None).text == template.render(MESSAGES).text == "|False|d"


def test_kwargs_of_the_conversation_are_given_to_the_template_and_those_of_the_call_go_first() -> None:
    template = Template.from_source(KWARGS)
    conversation = {"messages": MESSAGES, "chat_template_kwargs": {"date": "today", "x": "c"}}
    assert template.render(conversation).text == "today|True|c"
    assert template.render(conversation, x="k").text == "today|True|k"


@pytest.mark.parametrize("name", ["enable_thinkin", "Date", "message", "zzz"])
def test_a_kwarg_that_the_template_does_not_read_is_refused(name: str) -> None:
    kwargs: dict[str, Any] = {name: True}
    with pytest.raises(UsageError, match=f"reads no kwarg '{name}'"):
        Template.from_source(KWARGS).render(MESSAGES, **kwargs)


@pytest.mark.parametrize("value", ["false", "False", "true", "TRUE"])
def test_a_boolean_in_quotes_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="which a template takes for true"):
        Template.from_source(KWARGS).render(MESSAGES, enable_thinking=value)


def test_variables_that_a_template_sets_itself_are_no_kwargs() -> None:
    source = "{% set a = 1 %}{{ a }}{% set b = b | default(2) %}{{ b }}{% macro f(c) %}{{ c }}{% endmacro %}{{ d }}"
    assert Template.from_source(source).program.variables == {"b", "d"}


def test_special_tokens_are_taken_though_the_template_does_not_read_them() -> None:
    assert Template.from_source("x").render(MESSAGES, bos_token="<s>", eos_token="</s>").text == "x"
    assert Template.from_source(SOURCE, tokens={"bos_token": "<a>"}).render(MESSAGES, bos_token="<b>").text == "<b>hi"


# -- conversations


@pytest.mark.parametrize(
    "conversation", [MESSAGES, {"messages": MESSAGES}, Conversation.coerce(MESSAGES), tuple(MESSAGES)]
)
def test_a_conversation_may_be_a_list_a_dict_or_a_conversation(conversation: Any) -> None:
    assert Template.from_source(SOURCE).render(conversation).text == "hi"


def test_tools_and_documents_may_stand_beside_the_messages() -> None:
    template = Template.from_source(
        "{{ tools | length if tools else 0 }}{{ documents[0].text if documents }}{{ tools is none }}"
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    rendering = template.render(MESSAGES, tools=[tool], documents=[{"title": "t", "text": "d"}])
    assert rendering.text == "1dFalse"
    assert rendering.conversation.tools is not None
    assert template.render(MESSAGES).text == "0True"


def test_a_render_changes_none_of_its_inputs() -> None:
    conversation = {"messages": [{"role": "assistant", "content": "x", "reasoning": "r"}], "tools": []}
    before = json.dumps(conversation)
    Template.load("qwen3").render(conversation)
    assert json.dumps(conversation) == before


def test_the_same_source_is_compiled_once() -> None:
    assert Template.from_source(SOURCE).program is Template.from_source(SOURCE).program


@pytest.mark.parametrize("listed", [{"x": 1}, {"3": 1}, [1]])
def test_added_tokens_that_are_none_do_not_hide_that_there_is_no_template(listed: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": listed}))
    with pytest.raises(TemplateError, match="holds no chat template"):
        Template.load(tmp_path)
