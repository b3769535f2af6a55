"""Formats of tool calls and reasoning, and the parsers of serving engines that read them.

Names of parsers are those of vLLM (``--tool-call-parser``, ``--reasoning-parser``; its registries in
``vllm/tool_parsers`` and ``vllm/reasoning``) and of SGLang (its tables in ``srt/function_call`` and
``srt/parser/reasoning_parser.py``), as of late 2025 and 2026. The first format that matches counts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from chattmpl.probing.corpus import ASK, SAY, TRACES, call_message, with_trace
from chattmpl.probing.prober import Prober
from chattmpl.probing.reasoning import Traces
from chattmpl.probing.tools import find_tool_definitions
from chattmpl.template.template import Rendering

SERVERS = {"vllm": "vLLM", "sglang": "SGLang"}
"""The titles of the serving engines whose parsers are known; the keys are the names of fields of `Format`."""


@dataclass(frozen=True)
class Format:
    """A notation of tool calls or of reasoning.

    Attributes:
        name: the name of the format in chattmpl.
        pattern: a regular expression, searched for in a rendering of such a turn.
        vllm: the parsers of vLLM that read it, the best one first.
        sglang: the parsers of SGLang that read it, the best one first.
        kwarg: a template kwarg that the template must read too, since the parsers depend on it.
        calls: the format of calls that the template must use too, since the parsers end reasoning at a call.
    """

    name: str
    pattern: str
    vllm: tuple[str, ...] = ()
    sglang: tuple[str, ...] = ()
    kwarg: str | None = None
    calls: str | None = None


_THINK = r"</?think>"

CALLS = (
    Format("deepseek v4", r"<｜DSML｜tool_calls>", ("deepseek_v4",), ("deepseekv4",)),
    Format("deepseek v3.2", r"<｜DSML｜function_calls>", ("deepseek_v32",), ("deepseekv32",)),
    Format("deepseek v3", r"<｜tool▁sep｜>[^\n]+\n```json", ("deepseek_v3",), ("deepseekv3",)),
    Format("deepseek v3.1", r"<｜tool▁call▁begin｜>[^<]+<｜tool▁sep｜>\{", ("deepseek_v31",), ("deepseekv31",)),
    Format("kimi k2", r"<\|tool_call_begin\|>[^<]+<\|tool_call_argument_begin\|>", ("kimi_k2",), ("kimi_k2",)),
    Format("kimi k3", r"<\|open\|>call tool=", ("kimi_k3",), ("kimi_k3",)),
    Format("minimax m3", r"\]<\]minimax\[>\[<tool_call>", ("minimax_m3",), ("minimax-m3",)),
    Format("minimax m2", r"<minimax:tool_call>\s*<invoke name=", ("minimax_m2",), ("minimax-m2",)),
    Format("minimax m1", r'<tool_calls>\s*\{"name"', ("minimax",)),
    Format("seed oss", r"<seed:tool_call>\s*<function=", ("seed_oss",)),
    Format(
        "qwen3 coder",
        r"<tool_call>\s*<function=[^>]+>\s*<parameter=",
        ("qwen3_coder", "qwen3_xml", "step3p5"),
        ("qwen3_coder", "step3p5"),
    ),
    Format("glm 4.5", r"<tool_call>[^\n<{]+\n<arg_key>", ("glm45", "glm47"), ("glm45", "glm47")),
    Format("glm 4.7", r"<tool_call>[^\n<{]+<arg_key>", ("glm47", "glm45"), ("glm47",)),
    Format("hunyuan v3", r"<tool_call(:\w+)?>[^<\n]+<tool_sep(:\w+)?>", ("hy_v3",), ("hunyuan",)),
    Format("jamba", r'<tool_calls>\s*\[\s*\{"name"', ("hunyuan_a13b", "jamba")),
    Format(
        "cohere command 4", r"(?s)<\|START_ACTION\|>\[.*<\|START_TEXT\|>", ("cohere_command4",), ("cohere_command4",)
    ),
    Format("cohere command 3", r"<\|START_ACTION\|>\[", ("cohere_command3",)),
    Format(
        "harmony", r"to=functions\.\S+<\|channel\|>|<\|channel\|>commentary to=functions", ("openai",), ("gpt-oss",)
    ),
    Format("mistral", r"\[TOOL_CALLS\]", ("mistral",), ("mistral",)),
    Format("gemma 4", r"<\|tool_call>call:", ("gemma4",), ("gemma4",)),
    Format("functiongemma", r"<start_function_call>call:", ("functiongemma",)),
    Format(
        "gigachat 3", r'(function call<\|role_sep\|>\n|<\|function_call\|>)\{"name"', ("gigachat3",), ("gigachat3",)
    ),
    Format("apertus", r"<\|tools_prefix\|>\[", ("apertus",), ("apertus2509",)),
    Format("lfm2", r"<\|tool_call_start\|>\[\w+\(", ("lfm2",), ("lfm2",)),
    Format("llama 4", r"<\|python_start\|>\[?\w+\(", ("llama4_pythonic",), ("pythonic",)),
    Format("olmo 3", r"<function_calls>\s*\w+\(", ("olmo3",)),
    Format("minicpm 5", r'<function name="[^"]+"><param name=', ("minicpm5",), ("minicpm5",)),
    Format("solar open 2", r"<\|tool_call:start\|>\w+\n", ("solar_open2",)),
    Format("muse", r"<atem:function_calls>", (), ("muse",)),
    Format("internlm", r'<\|action_start\|><\|plugin\|>\s*\{"name"', ("internlm",), ("interns1",)),
    Format("longcat", r"<longcat_tool_call>", ("longcat",)),
    Format("step 3", r"<steptml:invoke name=", ("step3",), ("step3",)),
    Format("phi 4 mini", r"functools\[\{", ("phi4_mini_json",)),
    Format("granite 3", r'<\|?tool_call\|?>\s*\[\s*\{"name"', ("granite",)),
    Format("granite 20b", r'<function_call>\s*\{"name"', ("granite-20b-fc",)),
    Format("hermes", r'<tool_call>\n\{"name"', ("hermes", "granite4"), ("qwen25", "hermes")),
    Format("hermes on one line", r'<tool_call>\s*\{"name"', ("hermes", "granite4"), ("hermes",)),
    Format("llama 3", r'\{"name": "[^"]+", "parameters": ', ("llama3_json",), ("llama3",)),
    Format("pythonic", r"(?<![\w>])\[\w+\(\w+=", ("pythonic",), ("pythonic",)),
)
"""Formats of tool calls, the more specific ones first."""

REASONING = (
    Format("harmony", r"<\|channel\|>analysis<\|message\|>", ("openai_gptoss",), ("gpt-oss",)),
    Format("gemma 4", r"<\|channel>thought", ("gemma4",), ("gemma4",)),
    Format(
        "cohere command 4", r"(?s)<\|START_THINKING\|>.*<\|START_TEXT\|>", ("cohere_command4",), ("cohere_command4",)
    ),
    Format("cohere command 3", r"<\|START_THINKING\|>", ("cohere_command3",)),
    Format("kimi k3", r"<\|open\|>think<\|sep\|>", ("kimi_k3",), ("kimi_k3",)),
    Format("minimax m3", r"</?mm:think>", ("minimax_m3",), ("minimax-m3",)),
    Format("seed oss", r"</?seed:think>", ("seed_oss",)),
    Format("hunyuan v3", r"</?think:\w+>", ("hy_v3",), ("hunyuan",)),
    Format("mistral", r"\[/?THINK\]", ("mistral",), ("mistral",)),
    Format("kimi", r"◁/?think▷", (), ("kimi",)),
    Format("apertus", r"<\|inner_prefix\|>", (), ("apertus2509",)),
    Format("granite 3", r"Here is my thought process:", ("granite",)),
    Format("hunyuan a13b", r"(?s)<think>.*</think>\s*<answer>", ("hunyuan_a13b",)),
    Format("think, kimi k2", _THINK, ("kimi_k2",), ("kimi_k2",), calls="kimi k2"),
    Format("think, minimax m2", _THINK, ("minimax_m2", "minimax_m2_append_think"), ("minimax",), calls="minimax m2"),
    Format("think, deepseek v4", _THINK, ("deepseek_v4",), ("deepseek-v4",), calls="deepseek v4"),
    Format("think, deepseek v3.1", _THINK, ("deepseek_v3",), ("deepseek-v3",), calls="deepseek v3.1"),
    Format("think, deepseek v3.2", _THINK, ("deepseek_v3",), ("deepseek-v3",), calls="deepseek v3.2"),
    Format("think, glm 4.5", _THINK, ("glm45",), ("glm45",), calls="glm 4.5"),
    Format("think, glm 4.7", _THINK, ("glm45",), ("glm45",), calls="glm 4.7"),
    Format("think, switched by enable_thinking", _THINK, ("qwen3",), ("qwen3",), kwarg="enable_thinking"),
    Format("think, switched by thinking", _THINK, ("deepseek_v3",), ("deepseek-v3",), kwarg="thinking"),
    Format("think", _THINK, ("deepseek_r1", "qwen3"), ("deepseek-r1", "qwen3")),
)
"""Formats of reasoning. Parsers of ``<think>`` differ in the kwarg that switches reasoning off."""


def find_call_format(prober: Prober) -> Format | None:
    """Return the format in which a template writes tool calls; None if it is not known."""
    return _matching(CALLS, prober, _call_text(prober))


def find_reasoning_format(
    prober: Prober, traces: Traces, prompts: Iterable[str], call_format: Format | None
) -> Format | None:
    """Return the format in which a template writes reasoning, from its traces, prompts and format of calls; None if
    unknown.
    """
    return _matching(REASONING, prober, _reasoning_text(prober, traces, prompts), call_format)


def reasoning_start(text: str) -> int:
    """Return the offset in a generation prompt at which reasoning is opened or closed; its length if it is not."""
    starts = (match.start() for format in REASONING if (match := re.search(format.pattern, text)))
    return min(starts, default=len(text))


def _matching(formats: Iterable[Format], prober: Prober, text: str, calls: Format | None = None) -> Format | None:
    for format in formats:
        if format.kwarg is not None and format.kwarg not in prober.template.program.variables:
            continue
        if format.calls is not None and (calls is None or format.calls != calls.name):
            continue
        if re.search(format.pattern, text):
            return format
    return None


def _call_text(prober: Prober) -> str:
    """Return a turn with a call and one without; if calls are not rendered, the system text about them."""
    form, made = prober.call_form
    if form is not None and isinstance(made, Rendering):
        return f"{_after_question(made.text)}\n{_after_question(prober.text([ASK, SAY]))}"
    if find_tool_definitions(prober).fate == "rendered":
        told = prober.text([ASK], tools=True)
        return "" if told is None else re.sub(r'"name": <[\w-]+>', '"name": "name"', told)
    return ""


def _reasoning_text(prober: Prober, traces: Traces, prompts: Iterable[str]) -> str:
    turns = [_after_question(text) for text in traces.texts]
    if not traces.texts and traces.cut_from_content:
        turns.append("<think></think>")
    call = prober.text(
        [ASK, with_trace(call_message(**prober.call_options), TRACES[0])],
        tools=True,
        template=traces.template,
        kwargs=traces.kwargs,
    )
    if call is not None and TRACES[0] in call:
        turns.append(_after_question(call))
    return "\n".join([*turns, *prompts, _after_question(prober.text([ASK, SAY]))])


def _after_question(text: str | None) -> str:
    return "" if text is None else text.rpartition(ASK["content"])[2]
