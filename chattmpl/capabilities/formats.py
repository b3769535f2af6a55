"""What tool calls and reasoning look like, and the parsers of serving engines that read them: facts, not code.

Names and formats are those of vLLM (``--tool-call-parser``, ``--reasoning-parser``; its registries in
``vllm/tool_parsers`` and ``vllm/reasoning``) and of SGLang (its tables in ``srt/function_call`` and
``srt/parser/reasoning_parser.py``), as of late 2025 and 2026. The first format that matches is taken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One way to write calls, or reasoning.

    Attributes:
        name: ours, to speak of it.
        pattern: a regular expression, found in what a template renders of such a turn.
        vllm, sglang: the parsers that read it, the first choice first.
        kwarg: a template kwarg that must be read as well, since the parsers look at it.
        calls: the format of calls that must be used as well, since the parsers end reasoning at a call.
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
        "cohere command 4",
        r"(?s)<\|START_ACTION\|>\[.*<\|START_TEXT\|>",
        ("cohere_command4",),
        ("cohere_command4",),
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
"""Calls. What is more particular stands before what is more general."""

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
"""Reasoning. Parsers of ``<think>`` differ in the kwarg that tells them that the model does not reason."""
