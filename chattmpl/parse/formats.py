"""Names of the formats of tool calls and reasoning, and the parsers of serving engines that read them.

A format is recognised by the forms of turns that were derived from a template, never by a rendering of them. Names of
parsers are those that vLLM registers in its packages ``tool_parsers`` and ``reasoning``, and SGLang in
``srt/function_call`` and ``srt/parser/reasoning_parser.py``, as of October 2026.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chattmpl.parse.forms import OPTIONAL, Arguments, Calls, JsonCall, Slot
from chattmpl.parse.turn_derivation import derive
from chattmpl.parse.value_derivation import Underivable
from chattmpl.parse.values import KEY
from chattmpl.probing.corpus import ASK
from chattmpl.probing.facts import TemplateFacts
from chattmpl.template.special_tokens import CONTROL

SERVERS = {"vllm": "vLLM", "sglang": "SGLang"}
"""The titles of the serving engines whose parsers are known; the keys are the names of fields of `Format`."""


@dataclass(frozen=True)
class Format:
    """A notation of tool calls or of reasoning.

    Attributes:
        name: the name of the format in chattmpl.
        outlines: texts that the outlines of the forms contain, all of them; see `outline`. One without white space is
            looked for in the outlines without white space; ``^`` is the beginning of a turn.
        vllm: the parsers of vLLM that read it, the best one first.
        sglang: the parsers of SGLang that read it, the best one first.
        kwarg: a template kwarg that the template must read too, since the parsers depend on it.
        calls: the format of calls that the template must use too, since the parsers end reasoning at a call.
    """

    name: str
    outlines: tuple[str, ...]
    vllm: tuple[str, ...] = ()
    sglang: tuple[str, ...] = ()
    kwarg: str | None = None
    calls: str | None = None


class Formats(NamedTuple):
    """The formats in which a template writes reasoning and tool calls; None if it has no name or is not written."""

    reasoning: Format | None
    calls: Format | None


CALLS = (
    Format("deepseek v4", ("<｜DSML｜tool_calls>",), ("deepseek_v4",), ("deepseekv4",)),
    Format("deepseek v3.2", ("<｜DSML｜function_calls>",), ("deepseek_v32",), ("deepseekv32",)),
    Format("deepseek v3", ("<｜tool▁sep｜>{name}```json{arguments}",), ("deepseek_v3",), ("deepseekv3",)),
    Format(
        "deepseek v3.1", ("<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}",), ("deepseek_v31",), ("deepseekv31",)
    ),
    Format("kimi k2", ("<|tool_call_argument_begin|>{arguments}",), ("kimi_k2",), ("kimi_k2",)),
    Format("kimi k3", ("<|open|>call tool=",), ("kimi_k3",), ("kimi_k3",)),
    Format("minimax m3", ("]<]minimax[>[<tool_call>",), ("minimax_m3",), ("minimax-m3",)),
    Format("minimax m2", ('<minimax:tool_call><invokename="{name}">',), ("minimax_m2",), ("minimax-m2",)),
    Format("minimax m1", ('<tool_calls>\n{"name": ',)),
    Format("seed oss", ("<seed:tool_call><function={name}>",), ("seed_oss",)),
    Format(
        "qwen3 coder",
        ("<tool_call><function={name}><parameter={key}>",),
        ("qwen3_coder", "qwen3_xml", "mimo", "step3p5"),
        ("qwen3_coder", "step3p5", "nanbeige", "mimo"),
    ),
    Format(
        "poolside",
        ("<tool_call>{name}<arg_key>{key}</arg_key><arg_value>", "</assistant>"),
        ("poolside_v1", "glm47"),
        ("poolside_v1", "glm47"),
    ),
    Format("glm 4.5", ("<tool_call>{name}\n<arg_key>{key}",), ("glm45", "glm47"), ("glm45", "glm47", "glm")),
    Format("glm 4.7", ("<tool_call>{name}<arg_key>{key}",), ("glm47", "glm45"), ("glm47",)),
    Format("hunyuan v3", ("{name}<tool_sep",), ("hy_v3",), ("hunyuan",)),
    Format("jamba", ('<tool_calls>[{"name":',), ("hunyuan_a13b", "jamba")),
    Format("cohere command 4", ("<|START_ACTION|>[", "<|START_TEXT|>"), ("cohere_command4",), ("cohere_command4",)),
    Format("cohere command 3", ("<|START_ACTION|>[",), ("cohere_command3",)),
    Format("harmony", ("to=functions.{name}<|channel|>",), ("openai",), ("gpt-oss",)),
    Format("harmony", ("<|channel|>commentary to=functions.{name}",), ("openai",), ("gpt-oss",)),
    Format("mistral", ("[TOOL_CALLS]",), ("mistral",), ("mistral",)),
    Format("gemma 4", ("<|tool_call>call:{name}",), ("gemma4",), ("gemma4",)),
    Format("functiongemma", ("<start_function_call>call:{name}",), ("functiongemma",)),
    Format("gigachat 3", ('functioncall<|role_sep|>{"name":',), ("gigachat3",), ("gigachat3",)),
    Format("gigachat 3", ('<|function_call|>{"name":',), ("gigachat3",), ("gigachat3",)),
    Format("apertus", ("<|tools_prefix|>[",), ("apertus",), ("apertus2509",)),
    Format("lfm2", ("<|tool_call_start|>[{name}(",), ("lfm2",), ("lfm2",)),
    Format("llama 4", ("<|python_start|>[{name}(",), ("llama4_pythonic",), ("pythonic",)),
    Format("olmo 3", ("<function_calls>{name}({key}=",), ("olmo3",)),
    Format("minicpm 5", ('<functionname="{name}"><paramname="{key}">',), ("minicpm5",), ("minicpm5",)),
    Format("solar open 2", ("<|tool_call:start|>{name}",), ("solar_open2",)),
    Format("muse", ("<atem:function_calls>",), ("muse_glimmer",), ("muse",)),
    Format("internlm", ('<|action_start|><|plugin|>{"name":',), ("internlm",), ("interns1",)),
    Format("longcat", ('<longcat_tool_call>{"name":',), ("longcat",)),
    Format("longcat 2", ("<longcat_tool_call>{name}<longcat_arg_key>{key}",)),
    Format("step 3", ('<steptml:invokename="{name}">',), ("step3",), ("step3",)),
    Format("phi 4 mini", ('functools[{"name":',), ("phi4_mini_json",)),
    Format("granite 3", ('<|tool_call|>[{"name":',), ("granite",)),
    Format("granite 3", ('<tool_call>[{"name":',), ("granite",)),
    Format("granite 20b", ('<function_call>{"name":',), ("granite-20b-fc",)),
    Format("hermes", ('<tool_call>\n{"name": ',), ("hermes", "granite4"), ("qwen25", "qwen", "hermes", "trinity")),
    Format("hermes on one line", ('<tool_call>{"name":',), ("hermes", "granite4"), ("hermes",)),
    Format("xlam", ('^[{"name":{name},"arguments":{arguments}}]',), ("xlam",)),
    Format("llama 3", ('^{"name":{name},"parameters":{arguments}}',), ("llama3_json", "llama4_json"), ("llama3",)),
    Format("llama 4 json", ('<|python_end|>{"name":{name},"parameters":{arguments}}',), ("llama4_json", "llama3_json")),
    Format("pythonic", ("^[{name}({key}=",), ("pythonic",), ("pythonic",)),
)
"""Formats of tool calls, the more specific ones first."""

_THINK = ("<think>{reasoning}</think>",)

REASONING = (
    Format("harmony", ("<|channel|>analysis<|message|>{reasoning}<|end|>",), ("openai_gptoss",), ("gpt-oss",)),
    Format("gemma 4", ("<|channel>thought{reasoning}<channel|>",), ("gemma4",), ("gemma4",)),
    Format(
        "cohere command 4",
        ("<|START_THINKING|>{reasoning}<|END_THINKING|>", "<|START_TEXT|>"),
        ("cohere_command4",),
        ("cohere_command4",),
    ),
    Format("cohere command 3", ("<|START_THINKING|>{reasoning}<|END_THINKING|>",), ("cohere_command3",)),
    Format("kimi k3", ("<|open|>think<|sep|>{reasoning}<|close|>",), ("kimi_k3",), ("kimi_k3",)),
    Format("minimax m3", ("<mm:think>{reasoning}</mm:think>",), ("minimax_m3",), ("minimax-m3",)),
    Format("seed oss", ("<seed:think>{reasoning}</seed:think>",), ("seed_oss",)),
    Format("hunyuan v3", ("<think:opensource>{reasoning}</think:opensource>",), ("hy_v3",), ("hunyuan",)),
    Format("solar open 2", ("<|think:start|>{reasoning}<|think:end|>",), ("solar_open2",)),
    Format("mistral", ("[THINK]{reasoning}[/THINK]",), ("mistral",), ("mistral",)),
    Format("kimi", ("◁think▷{reasoning}◁/think▷",), (), ("kimi",)),
    Format("apertus", ("<|inner_prefix|>{reasoning}<|inner_suffix|>",), (), ("apertus2509",)),
    Format("granite 3", ("Here is my thought process: {reasoning}",), ("granite",)),
    Format("hunyuan a13b", (*_THINK, "<answer>"), ("hunyuan_a13b",)),
    Format("think, hunyuan v3", _THINK, ("hy_v3",), ("hunyuan",), calls="hunyuan v3"),
    Format("think, kimi k2", _THINK, ("kimi_k2",), ("kimi_k2",), calls="kimi k2"),
    Format("think, minimax m2", _THINK, ("minimax_m2", "minimax_m2_append_think"), ("minimax",), calls="minimax m2"),
    Format("think, deepseek v4", _THINK, ("deepseek_v4",), ("deepseek-v4",), calls="deepseek v4"),
    Format("think, deepseek v3.1", _THINK, ("deepseek_v3",), ("deepseek-v3",), calls="deepseek v3.1"),
    Format("think, deepseek v3.2", _THINK, ("deepseek_v3",), ("deepseek-v3",), calls="deepseek v3.2"),
    Format("think, poolside", _THINK, ("poolside_v1",), ("poolside_v1",), calls="poolside"),
    Format("think, glm 4.5", _THINK, ("glm45", "glm47"), ("glm45",), calls="glm 4.5"),
    Format("think, glm 4.7", _THINK, ("glm47", "glm45"), ("glm45",), calls="glm 4.7"),
    Format("think, switched by enable_thinking", _THINK, ("qwen3", "mimo"), ("qwen3",), kwarg="enable_thinking"),
    Format("think, switched by thinking", _THINK, ("deepseek_v3",), ("deepseek-v3",), kwarg="thinking"),
    Format("think", _THINK, ("deepseek_r1", "qwen3"), ("deepseek-r1", "qwen3")),
    Format("think, not opened", ("{reasoning}</think>",), ("deepseek_r1",), ("deepseek-r1",)),
)
"""Formats of reasoning. Parsers of ``<think>`` differ in the kwarg that switches reasoning off."""


_ASSUMES_TRACE: Mapping[str, Mapping[str, str | None]] = {
    "vllm": {"deepseek_r1": None, "qwen3": "enable_thinking", "mimo": "enable_thinking"},
    "sglang": dict.fromkeys(("deepseek-r1", "qwen3-thinking", "minimax", "step3", "step3p5")),
}
"""Parsers that begin inside a trace, with the kwarg that, set to false, makes them begin after it."""


def assumes_trace(engine: str, parser: str) -> tuple[bool, str | None]:
    """Return whether a reasoning parser takes all text before the end of a trace as reasoning, and the kwarg whose
    value false keeps it from that.
    """
    known = _ASSUMES_TRACE[engine]
    return parser in known, known.get(parser)


def find_formats(facts: TemplateFacts) -> Formats:
    """Return the formats in which a template writes reasoning and tool calls."""
    outlines = list(_outlines(facts))
    calls = next((format for format in CALLS if _contains(outlines, format.outlines)), None)
    if calls is None and not any("{arguments}" in text or "{key}" in text for text in outlines):
        calls = _announced_format(facts)
    prompts = [prompt for prompt in (facts.generation_prompt, *facts.generation_prompts.values()) if prompt]
    variables = facts.template.program.variables
    for format in REASONING:
        if format.kwarg is not None and format.kwarg not in variables:
            continue
        if format.calls is not None and (calls is None or format.calls != calls.name):
            continue
        if _writes_reasoning(format, outlines, prompts) or (
            format.outlines == _THINK and facts.traces.cut_from_content
        ):
            return Formats(format, calls)
    return Formats(None, calls)


def outline(part: Any) -> str:
    """Return the outline of a part of a form: its text with the names of fields in braces, such as ``{name}``.

    The arguments of a call are ``{arguments}``, or ``{key}`` and ``{value}`` if they are written one by one. Fields of
    a JSON object that a model may leave out are not in its outline.
    """
    if isinstance(part, str):
        return part
    if isinstance(part, Slot):
        return f"{{{part.field}}}"
    if isinstance(part, Calls):
        return "".join(map(outline, (part.opens, *part.call, part.closes)))
    if isinstance(part, JsonCall):
        return _object_outline(part.shape)
    assert isinstance(part, Arguments)
    members = part.notation
    if isinstance(members, str):
        return "{arguments}"
    written = members.types["string"][0]
    return f"{members.opens}{members.key_opens}{{key}}{written.before}{{value}}{written.after.replace(KEY, '{key}')}"


def _object_outline(shape: Any) -> str:
    if isinstance(shape, Slot):
        return outline(shape)
    if not isinstance(shape, Mapping):
        return json.dumps(shape)
    members = {key: each for key, each in shape.items() if not (isinstance(each, Slot) and each.field in OPTIONAL)}
    return f"{{{', '.join(f'{_object_outline(key)}: {_object_outline(each)}' for key, each in members.items())}}}"


def _outlines(facts: TemplateFacts) -> Iterator[str]:
    """Yield the outlines of the forms of turns, also of those that kwargs bring out."""
    for kwargs in ({}, facts.traces.kwargs) if facts.traces.kwargs else ({},):
        try:
            forms = derive(facts.under(kwargs)).forms
        except Underivable:
            continue
        yield from ("".join(map(outline, (*form.parts, form.ending))) for form in forms)


def _contains(texts: Sequence[str], wanted: Iterable[str]) -> bool:
    """Return whether texts contain all wanted ones, exactly or without white space."""
    each = [form for text in texts for form in (f"^{text}", f"^{_squeezed(text)}")]
    return all(any(text in form for form in each) for text in wanted)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _writes_reasoning(format: Format, outlines: Sequence[str], prompts: Sequence[str]) -> bool:
    """Return whether a form has a trace in this format, also an empty one, or a prompt opens or closes one."""
    trace, *others = format.outlines
    if not _contains([*outlines, *prompts], others):
        return False
    opens, _, closes = trace.partition("{reasoning}")
    return _contains(outlines, [trace]) or (
        bool(opens) and (_contains(outlines, [opens + closes]) or _contains(prompts, [opens]))
    )


def _announced_format(facts: TemplateFacts) -> Format | None:
    """Return the format that the text about tools announces, for templates that render no calls."""
    if facts.tool_definitions.fate != "rendered":
        return None
    text = facts.prober.text([ASK], tools=True) or ""
    for format in CALLS:
        opening = format.outlines[0].partition("{name}")[0]
        shared = sum(other.outlines[0].startswith(opening) for other in CALLS) > 1
        if not shared and CONTROL.search(opening) and _contains([text], [opening]):
            return format
    return None
