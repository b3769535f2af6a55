"""The parts of a proof that need no training: tasks, talks, intervals and verdicts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chattmpl import Rendering, Template
from chattmpl.errors import UsageError
from chattmpl.template.family import family_names, load_family
from support.extras import need

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

from chattmpl.training.adapter import stop_ids  # noqa: E402
from chattmpl.training.prove import tasks  # noqa: E402
from chattmpl.training.prove.dialogues import Talk, Turn, abilities_of, make_talks, rendering_traces  # noqa: E402
from chattmpl.training.prove.intervals import Share  # noqa: E402
from chattmpl.training.prove.models import make_tokenizer  # noqa: E402
from chattmpl.training.prove.plots import bars, curve  # noqa: E402
from chattmpl.training.prove.verdict import Thresholds, failures  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]  # of torch and transformers


def family(name: str) -> Template:
    return Template.of(rendering_traces(Template.load(name)))


def sampled_in(template: Template, talk: Talk, turn: Turn) -> str:
    """What is sampled in a turn, by the template."""
    rendering = template.render(talk.conversation(turn.index + 1))
    start, end = rendering.generated[-1]
    return rendering.text[start:end]


# -- tasks


@pytest.mark.parametrize("test", [True, False])
def test_a_sum_has_right_steps_and_a_right_answer(test: bool) -> None:
    for seed in range(50):
        task = tasks.sum_of_two(random.Random(seed), test)
        first, second = map(int, task.question.split("+"))
        assert int(task.answer) == first + second
        for step in task.trace.split(", "):
            left, right = step.split("=")
            assert sum(map(int, left.split("+"))) == int(right)


def test_a_reversal_and_a_look_up_are_right() -> None:
    for seed in range(50):
        backwards = tasks.reversal(random.Random(seed), True)
        assert backwards.question == f"reverse {backwards.answer[::-1]}"
        assert backwards.trace == f"{backwards.answer[::-1]}={backwards.answer}"
        price = tasks.lookup(random.Random(seed), False)
        assert price.trace in price.table.split(";")
        assert price.trace == f"{price.item}={price.answer}"


def test_no_held_out_task_is_trained_on() -> None:
    choose = random.Random(0)
    for make in (tasks.sum_of_two, tasks.reversal, tasks.lookup):
        trained = {make(choose, False) for _ in range(500)}
        assert not trained & {make(choose, True) for _ in range(100)}


def test_any_of_the_greetings_is_right_and_nothing_else() -> None:
    task = tasks.persona(random.Random(0), "047")
    assert all(task.right(f"{greeting}, agent 047") for greeting in tasks.GREETINGS)
    assert not task.right("Hello, agent 048")


# -- talks


@pytest.mark.parametrize("name", family_names())
def test_all_that_a_talk_teaches_is_rendered_in_the_span_of_its_turn(name: str) -> None:
    template = family(name)
    abilities = abilities_of(template)
    for talk in make_talks(30, abilities, 0, test=False):
        for turn in talk.turns:
            sampled = sampled_in(template, talk, turn)
            trace = talk.messages[turn.index].get("reasoning_content", "")
            assert trace in sampled
            assert (turn.task.item if turn.calls else turn.task.answer) in sampled


@pytest.mark.parametrize("name", family_names())
def test_what_a_talk_teaches_is_what_is_read_from_it(name: str) -> None:
    template = family(name)
    for talk in make_talks(10, abilities_of(template), 1, test=True):
        for turn in talk.turns:
            before, sampled = talk.conversation(turn.index), sampled_in(template, talk, turn)
            message = template.parse(sampled, completion=True, generation_prompt=False, prompt=before).messages[-1]
            assert bool(message.reasoning_content) is turn.thinks
            assert bool(message.tool_calls) is turn.calls


def test_the_same_seed_makes_the_same_talks() -> None:
    abilities = abilities_of(family("hybrid"))
    assert make_talks(20, abilities, 3, test=False) == make_talks(20, abilities, 3, test=False)
    assert make_talks(20, abilities, 3, test=False) != make_talks(20, abilities, 4, test=False)


def test_a_mode_holds_until_a_flag_changes_it() -> None:
    for talk in make_talks(100, abilities_of(family("hybrid")), 0, test=True):
        thinks = talk.kwargs.get("enable_thinking", True)
        for turn in talk.turns:
            asked = [m["content"] for m in talk.messages[: turn.index] if m["role"] == "user"][-1]
            thinks = asked.startswith("/think ") or (thinks and not asked.startswith("/no_think "))
            assert turn.thinks is thinks


@pytest.mark.parametrize(
    ("name", "reasoning", "calls", "switch", "hard"),
    [
        ("chatml", False, True, None, False),
        ("hybrid", True, True, "enable_thinking", False),
        ("qwen3", True, True, "enable_thinking", True),
        ("gemma3", False, False, None, False),
    ],
)
def test_what_a_family_can_show_is_found_out(
    name: str, reasoning: bool, calls: bool, switch: str | None, hard: bool
) -> None:
    found = abilities_of(family(name))
    assert (found.reasoning, found.calls, found.switch, found.hard) == (reasoning, calls, switch, hard)


def test_a_template_that_is_no_family_is_refused() -> None:
    with pytest.raises(UsageError, match="no family"):
        abilities_of(Template.from_source("{% for m in messages %}{{ m.content }}{% endfor %}"))


def test_a_retention_that_renders_no_trace_at_all_is_replaced() -> None:
    assert rendering_traces(Template.load("deepseek_r1")).retention == "all"
    assert rendering_traces(Template.load("qwen3")).retention == "since_last_user"


# -- tokenizer, stops


def rendered(name: str, count: int) -> tuple[Template, list[Rendering]]:
    """A family, and talks as it renders them."""
    template = family(name)
    talks = make_talks(count, abilities_of(template), 0, test=False)
    return template, [template.render(talk.conversation()) for talk in talks]


@pytest.mark.parametrize("name", family_names())
def test_the_tokenizer_knows_the_control_tokens_and_gives_every_text_back(name: str) -> None:
    template, renderings = rendered(name, 20)
    tokenizer = make_tokenizer(template, renderings, 50)
    assert template.family is not None
    for token in template.family.generation.control_tokens:
        assert len(tokenizer.encode(token)) == 1
    for text in (rendering.text for rendering in renderings):
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text
    assert stop_ids(template, tokenizer)


@pytest.mark.parametrize("name", family_names())
def test_a_model_of_this_size_can_read_the_rows_of_every_family(name: str) -> None:
    template, renderings = rendered(name, 200)
    tokenizer = make_tokenizer(template, renderings, 600)
    assert sum(len(rendering.encode(tokenizer).input_ids) for rendering in renderings) / len(renderings) < 250


def test_lines_are_tokens_where_a_template_writes_thousands_of_characters_but_none_that_is_sampled() -> None:
    template, renderings = rendered("command_a_reasoning", 200)
    added = {token.content for token in make_tokenizer(template, renderings, 50).added_tokens_decoder.values()}
    lines = added - {*template.family.generation.control_tokens} if template.family else set()
    assert "- You are a large language model built by Cohere.\n" in lines
    sampled = [rendering.text[start:end] for rendering in renderings for start, end in rendering.generated]
    assert not any(line in text for text in sampled for line in lines if len(line) >= 24)


def test_no_line_is_a_token_that_covers_the_start_of_an_answer(tmp_path: Path) -> None:
    frame = "<|im_start|>assistant says the following to you: "
    opening = "assistant says the following to you: H"
    (tmp_path / "template.jinja").write_text(
        "<|im_start|>system\n" + "A line of a preamble that is long, " * 70 + f"\n{opening}\n<|im_end|>\n"
        "{% for m in messages %}{% if m.role == 'assistant' %}" + frame + "{% generation %}{{ m.content }}<|im_end|>"
        "{% endgeneration %}{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}" + frame + "{% endif %}",
        encoding="utf-8",
    )
    facts = (load_family("chatml").folder / "family.toml").read_text(encoding="utf-8")
    (tmp_path / "family.toml").write_text(facts, encoding="utf-8")
    template = Template.load(tmp_path)
    talks = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}] for text in ("H\nello", "Hi")]
    renderings = [template.render(talk) for talk in talks]
    added = {token.content for token in make_tokenizer(template, renderings, 50).added_tokens_decoder.values()}
    assert any(token.startswith("A line of a preamble") for token in added)
    assert not any(token.startswith(opening) for token in added)


@pytest.mark.parametrize("share", [float("nan"), -0.1, 1.5])
def test_what_is_no_share_is_no_threshold(share: float) -> None:
    with pytest.raises(UsageError, match="the least share for accuracy"):
        Thresholds(accuracy=share)


def test_a_token_that_also_stands_inside_of_a_turn_is_no_stop_token() -> None:
    template = family("gpt_oss")
    assert set(stop_ids(template, make_tokenizer(template, [], 1)).values()) == {"<|return|>", "<|call|>"}


# -- numbers


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (100, 100, 0.9630, 1.0)]
)
def test_intervals_are_those_of_wilson(count: int, of: int, low: float, high: float) -> None:
    assert Share(count, of).interval == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_is_none() -> None:
    assert Share(0, 0).to_dict() == {"count": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}


def report(parse: float = 1.0, stop: float = 1.0, switch: float = 1.0, right: int = 10) -> dict[str, object]:
    return {
        "parsed": {"share": parse},
        "stopped": {"share": stop},
        "switching": {"all": {"share": switch}},
        "tasks": {"persona": {"without_reasoning": {"count": right, "of": 10}}},
    }


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"parse": 0.5}, "completions that parse: 50.0 %, less than 95 %"),
        ({"stop": 0.5}, "completions that end in a stop token: 50.0 %"),
        ({"switch": 0.5}, "turns that follow the mode: 50.0 %"),
        ({"right": 2}, "right answers to persona, lookup, tool call: 20.0 %, less than 30 %"),
    ],
)
def test_each_threshold_fails_what_is_below_it(lacking: dict[str, float], said: str) -> None:
    assert failures(report(), Thresholds()) == []
    [failure] = failures(report(**lacking), Thresholds())  # type: ignore[arg-type]
    assert failure.startswith(said)


def test_a_system_message_that_no_answer_shows_fails_where_other_answers_are_right() -> None:
    tasks_ = {"persona": {"with_reasoning": {"count": 0, "of": 10}}, "tool call": {"all": {"count": 30, "of": 30}}}
    assert failures({**report(), "tasks": tasks_}, Thresholds()) == [
        "persona: none of 10 answers is right, so the system message may not reach the model"
    ]
    assert failures({**report(), "tasks": tasks_}, Thresholds(accuracy=0)) == []
    tasks_["persona"]["with_reasoning"]["count"] = 1
    assert failures({**report(), "tasks": tasks_}, Thresholds()) == []


def test_plots_are_well_formed() -> None:
    from xml.etree import ElementTree

    shares = [("a < b", Share(5, 10).to_dict()), ("nothing", Share(0, 0).to_dict())]
    for picture in (bars("Shares & more", shares), curve("Loss", [(1, 3.0), (50, 0.01)], 0.005), curve("Loss", [], 0)):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
