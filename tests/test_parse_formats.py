"""Names of the formats of calls and reasoning, by the forms that are derived from a template."""

from __future__ import annotations

import pytest

from chattmpl import Template
from chattmpl.parse.formats import CALLS, REASONING, find_formats, outline
from chattmpl.parse.turn_derivation import derive
from chattmpl.probing import TemplateFacts
from support.fetched import hub_templates

REGISTERED = {
    "vllm calls": """
        apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 dots ernie45
        functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc granite4 hermes hunyuan_a13b hy_v3
        hy_v4 inkling internlm jamba kimi_k2 kimi_k3 lfm2 ling3 llama3_json llama4_json llama4_pythonic longcat
        mimo minicpm5 minimax_m2 minimax_m3 mistral muse_glimmer olmo3 openai phi4_mini_json poolside_v1 pythonic
        qwen3_coder qwen3_xml seed_oss solar_open2 step3 step3p5 xlam
    """,
    "vllm reasoning": """
        cohere_command3 cohere_command4 deepseek_r1 deepseek_v3 deepseek_v4 ernie45 gemma4 glm45 glm47 granite
        holo2 hunyuan_a13b hy_v3 hy_v4 inkling kimi_k2 kimi_k3 ling3 mimo minimax_m2 minimax_m2_append_think
        minimax_m3 mistral muse_glimmer nemotron_v3 olmo3 openai_gptoss poolside_v1 qwen3 seed_oss solar_open2
        step3 step3p5
    """,
    "sglang calls": """
        apertus2509 beam cohere_command4 deepseekv3 deepseekv31 deepseekv32 deepseekv4 deepseekv41 dots gemma4
        gigachat3 gigachat35 glm glm45 glm47 gpt-oss hermes hunyuan inkling interns1 iquest_q1 k2_horizon kimi_k2
        kimi_k3 lfm2 ling3 llama3 mimo minicpm5 minimax-m2 minimax-m3 mistral muse nanbeige poolside_v1 pythonic
        qwen qwen25 qwen3_coder response_template spark25 step3 step3p5 trinity
    """,
    "sglang reasoning": """
        apertus2509 beam cohere_command4 deepseek-r1 deepseek-v3 deepseek-v4 deepseek-v41 dots gemma4 gigachat35
        glm45 gpt-oss granite_thinking_parser hunyuan inkling interns1 iquest_q1 k2_horizon kimi kimi_k2 kimi_k3
        ling3 mimo minimax minimax-append-think minimax-m3 mistral muse nanbeige nemotron_3 poolside_v1 qwen3
        qwen3-thinking response_template step3 step3p5
    """,
}
"""The names that the engines register: vLLM's main branch and SGLang 0.5.23, in November 2026."""

HEAD = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
CALL = "{% for c in m.tool_calls or [] %}BODY{% endfor %}"
TAIL = "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
HERMES = (
    '<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
)


@pytest.mark.parametrize(("kind", "formats"), [("calls", CALLS), ("reasoning", REASONING)])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_each_parser_of_the_table_is_registered_by_its_engine(
    kind: str, formats: tuple[object, ...], engine: str
) -> None:
    known = set(REGISTERED[f"{engine} {kind}"].split())
    assert {name for format in formats for name in getattr(format, engine)} - known == set()


def test_the_outline_of_a_form_shows_its_fields_in_braces() -> None:
    loaded = Template.from_source(HEAD + CALL.replace("BODY", HERMES) + TAIL)
    shown = ["".join(map(outline, form.parts)) for form in derive(TemplateFacts(loaded)).forms]
    assert '{content}<tool_call>\n{"name": {name}, "arguments": {arguments}}\n</tool_call>' in shown


def test_a_format_is_that_of_the_calls_and_not_of_the_text_about_them() -> None:
    about = '{% if tools %}<|system|>Call like <tool_call>\n{"name": …}\n</tool_call>: {{ tools | tojson }}{% endif %}'
    mine = "[CALL {{ c.function.name }} with {{ c.function.arguments | tojson }}]"
    for call, name in ((HERMES, "hermes"), (mine, None), ("", "hermes")):
        found = find_formats(TemplateFacts(Template.from_source(about + HEAD + CALL.replace("BODY", call) + TAIL)))
        assert (found.calls and found.calls.name) == name, call


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("name", "calls", "reasoning"),
    [
        ("moonshotai-Kimi-K2.5", "kimi k2", "think, kimi k2"),
        ("GLM-4.7-Flash", "glm 4.7", "think, glm 4.7"),
        ("poolside-Laguna-XS.2", "poolside", "think, poolside"),
        ("deepseek-ai-DeepSeek-V3.1", "deepseek v3.1", "think, deepseek v3.1"),
        ("deepseek-ai-DeepSeek-V3.2", "deepseek v3.2", "think, deepseek v3.2"),
        ("meituan-longcat-LongCat-Flash-Chat", "longcat", None),
        ("meituan-longcat-LongCat-Flash-Lite", "longcat 2", None),
        ("Salesforce-xLAM-2-32b-fc-r", "xlam", None),
        ("MiniMaxAI-MiniMax-M1-40k", "minimax m1", None),
        ("tiiuae-Falcon-H1-Tiny-90M-Instruct", "hermes", None),
        ("upstage-Solar-Open2-250B", "solar open 2", "solar open 2"),
        ("tencent-Hy-Embodied-VLM-1.0", None, "think, not opened"),
        ("Qwen-Qwen3Guard-Gen-4B", None, None),
    ],
)
def test_the_formats_of_templates_of_the_hub(name: str, calls: str | None, reasoning: str | None) -> None:
    found = find_formats(TemplateFacts(Template.from_source(hub_templates()[name], name=name)))
    assert (found.calls and found.calls.name, found.reasoning and found.reasoning.name) == (calls, reasoning)
