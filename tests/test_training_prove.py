"""chattmpl prove: a small model, trained from scratch in a template, does what the template means; and its parts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from chattmpl import Rendering, Template
from chattmpl.encode import encode
from chattmpl.errors import UsageError
from chattmpl.report.proof import bar_plot, loss_plot
from chattmpl.template.family import family_names, load_family
from chattmpl.training.prove import dialogues
from chattmpl.training.prove.dialogues import AssistantTurn, Dialogue, abilities_of, make_dialogues, with_reasoning
from support.command import Outcome, run_here
from support.extras import need

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

from chattmpl.training.adapter import stop_ids  # noqa: E402
from chattmpl.training.prove.measures import Proportion  # noqa: E402
from chattmpl.training.prove.models import CLOCK, answer_stops, make_tokenizer  # noqa: E402
from chattmpl.training.prove.proof import Thresholds, find_failures  # noqa: E402

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]


# -- whole proofs


ACCURATE = ("--min-accuracy", "0.5")


def proved(template: str, folder: Path, *options: str) -> tuple[Outcome, dict[str, Any]]:
    """Return the outcome of the command, and its report. A tiny model learns the format, but not the tasks."""
    small = ["--size", "tiny", "--min-accuracy", "0"]
    outcome = run_here(["prove", template, *small, "--report", str(folder), *options])
    return outcome, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("hybrid")
    return (*proved("hybrid", folder), folder)


def test_hybrid_trains_and_its_modes_switch(hybrid: Any) -> None:
    outcome, report, _ = hybrid
    assert (outcome.code, report["failures"]) == (0, [])
    assert report["parsed"]["share"] >= 0.95
    assert report["stopped"]["share"] >= 0.98
    assert set(report["switching"]["by_turn"]) == {"1", "2", "3"}
    assert all(share["share"] >= 0.8 for share in report["switching"]["by_turn"].values())


def test_chatml_trains_and_has_no_modes(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path)
    assert (outcome.code, report["failures"]) == (0, [])
    assert report["switching"] is None
    assert not (tmp_path / "switching.svg").exists()


def test_the_held_out_loss_is_above_the_entropy_floor(hybrid: Any) -> None:
    _, report, _ = hybrid
    assert 0 < report["loss"]["floor"] < report["loss"]["nats"]


def test_the_report_can_be_read_with_its_plots(hybrid: Any) -> None:
    outcome, report, folder = hybrid
    assert "hybrid (retention all): the template trained" in outcome.out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    text = (folder / "report.md").read_text(encoding="utf-8")
    for plot in ("shares.svg", "tasks.svg", "switching.svg", "loss.svg"):
        assert f"]({plot})" in text
        assert (folder / plot).is_file()
    assert report["audit"]["documents"] > 0


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    first, second = (proved("chatml", tmp_path / name, "--steps", "5")[1] for name in "ab")
    for report in (first, second):
        del report["seconds"]
    assert first == second


def test_right_answers_count_too(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path, "--steps", "1", "--min-parse", "0", "--min-stop", "0")
    assert (outcome.code, report["failures"]) == (0, [])
    outcome, report = proved("chatml", tmp_path, "--steps", "1", "--min-parse", "0", "--min-stop", "0", *ACCURATE)
    assert outcome.code == 1
    assert report["failures"][0].startswith("right answers to persona, lookup, tool call: 0.0 %")


def test_a_model_that_did_not_learn_fails(tmp_path: Path) -> None:
    outcome, report = proved("chatml", tmp_path, "--steps", "1")
    assert outcome.code == 1
    assert report["failures"]
    assert "the template did NOT train" in outcome.out
    assert report["not_stopped"]["endings"]


def test_a_template_without_a_grammar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}{% generation %}x{% endgeneration %}{% endfor %}", encoding="utf-8")
    outcome = run_here(["prove", str(path), "--size", "tiny"])
    assert outcome.code == 2
    assert "renders no answer of the assistant" in outcome.err
    path.write_text(path.read_text().replace("x", "{{ m.content }}"))
    assert "no control token ends an answer" in run_here(["prove", str(path), "--size", "tiny"]).err


def test_without_a_template_the_usage_is_printed() -> None:
    outcome = run_here(["prove"])
    assert outcome.code == 2
    assert "chattmpl prove TEMPLATE --report DIR" in outcome.err


@pytest.mark.parametrize("family", family_names())
def test_no_token_of_the_tokenizer_made_lies_across_the_edge_of_a_generated_span(family: str) -> None:
    template = with_reasoning(Template.load(family))
    made = make_dialogues(200, abilities_of(template), 0, test=False)
    renderings = [template.render(dialogue.conversation(), clock=CLOCK) for dialogue in made]
    tokenizer = make_tokenizer(template, renderings, 600)
    assert [encode(rendering, tokenizer).straddles for rendering in renderings] == [()] * len(renderings)


def family(name: str) -> Template:
    template = with_reasoning(Template.load(name))
    assert isinstance(template, Template)
    return template


def sampled_in(template: Template, dialogue: Dialogue, turn: AssistantTurn) -> str:
    """Return the text that the template marks as sampled in a turn."""
    rendering = template.render(dialogue.conversation(turn.index + 1))
    start, end = rendering.generated[-1]
    return rendering.text[start:end]


# -- tasks


@pytest.mark.parametrize("test", [True, False])
def test_a_sum_has_right_steps_and_a_right_answer(test: bool) -> None:
    for seed in range(50):
        task = dialogues.sum_task(random.Random(seed), test)
        first, second = map(int, task.question.split("+"))
        assert int(task.answer) == first + second
        for step in task.trace.split(", "):
            left, right = step.split("=")
            assert sum(map(int, left.split("+"))) == int(right)


def test_a_reversal_and_a_look_up_are_right() -> None:
    for seed in range(50):
        backwards = dialogues.reverse_task(random.Random(seed), True)
        assert backwards.question == f"reverse {backwards.answer[::-1]}"
        assert backwards.trace == f"{backwards.answer[::-1]}={backwards.answer}"
        price = dialogues.lookup_task(random.Random(seed), False)
        assert price.trace in price.table.split(";")
        assert price.trace == f"{price.item}={price.answer}"


def test_no_held_out_task_is_trained_on() -> None:
    choose = random.Random(0)
    for make in (dialogues.sum_task, dialogues.reverse_task, dialogues.lookup_task):
        trained = {make(choose, False) for _ in range(500)}
        assert not trained & {make(choose, True) for _ in range(100)}


def test_any_of_the_greetings_is_right_and_nothing_else() -> None:
    task = dialogues.persona_task(random.Random(0), "047")
    assert all(task.accepts(f"{greeting}, agent 047") for greeting in dialogues.GREETINGS)
    assert not task.accepts("Hello, agent 048")


# -- dialogues


@pytest.mark.parametrize("name", family_names())
def test_all_that_a_dialogue_teaches_is_rendered_in_the_span_of_its_turn(name: str) -> None:
    template = family(name)
    abilities = abilities_of(template)
    for dialogue in make_dialogues(30, abilities, 0, test=False):
        for turn in dialogue.turns:
            sampled = sampled_in(template, dialogue, turn)
            trace = dialogue.messages[turn.index].get("reasoning_content", "")
            assert trace in sampled
            assert (turn.task.item if turn.calls else turn.task.answer) in sampled


@pytest.mark.parametrize("name", family_names())
def test_what_a_dialogue_teaches_is_what_is_parsed_from_it(name: str) -> None:
    template = family(name)
    for dialogue in make_dialogues(10, abilities_of(template), 1, test=True):
        for turn in dialogue.turns:
            before, sampled = dialogue.conversation(turn.index), sampled_in(template, dialogue, turn)
            message = template.parse(sampled, completion=True, generation_prompt=False, prompt=before).messages[-1]
            assert bool(message.reasoning_content) is turn.thinks
            assert bool(message.tool_calls) is turn.calls


def test_the_same_seed_makes_the_same_dialogues() -> None:
    abilities = abilities_of(family("hybrid"))
    assert make_dialogues(20, abilities, 3, test=False) == make_dialogues(20, abilities, 3, test=False)
    assert make_dialogues(20, abilities, 3, test=False) != make_dialogues(20, abilities, 4, test=False)


def test_a_mode_holds_until_a_flag_changes_it() -> None:
    for dialogue in make_dialogues(100, abilities_of(family("hybrid")), 0, test=True):
        thinks = dialogue.kwargs.get("enable_thinking", True)
        for turn in dialogue.turns:
            asked = [m["content"] for m in dialogue.messages[: turn.index] if m["role"] == "user"][-1]
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


def test_any_template_is_proved_as_it_renders(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    calls = (
        "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}({{ c.function.arguments }})</call>{% endfor %}"
    )
    turn = "<|{{ m.role }}|>{{ m.content }}" + calls + "<|end|>"
    prompt = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    path.write_text("{% for m in messages %}" + turn + "{% endfor %}" + prompt)
    found = abilities_of(Template.load(str(path)))
    assert (found.reasoning, found.calls, found.tools) == (False, True, False)
    outcome = run_here(
        ["prove", str(path), "--size", "tiny", "--steps", "2", "--min-accuracy", "0", "--format", "json"]
    )
    assert "annotated" in outcome.err
    assert (outcome.code, json.loads(outcome.out)["template"]) == (1, str(path))  # It learns nothing in two steps.


def test_a_turn_that_ends_where_the_next_one_begins_stops_at_its_first_token() -> None:
    template = Template.from_source(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert answer_stops(template) == ("<|user|>",)
    assert not abilities_of(template).calls
    tokenizer = make_tokenizer(template, [template.render([{"role": "user", "content": "Hi"}])], 10)
    assert tokenizer.eos_token == "<|user|>"
    assert list(stop_ids(template, tokenizer).values()) == ["<|user|>"]


def test_ids_hold_the_name_where_the_template_writes_it_nowhere_else() -> None:
    calls = (
        "{% for c in m.tool_calls or [] %}<|call|>{{ c.id }}{{ c.function.arguments | tojson }}<|/call|>{% endfor %}"
    )
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}" + calls + "<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    template = Template.from_source(source)
    assert abilities_of(template).named_ids
    assert not abilities_of(Template.from_source(source.replace("{{ c.id }}", "{{ c.function.name }}"))).named_ids
    made = make_dialogues(40, abilities_of(template), 0, test=False)
    ids = [call["id"] for each in made for message in each.messages for call in message.get("tool_calls", ())]
    assert set(ids) == {"functions.prices:0"}


def test_a_retention_that_renders_no_trace_at_all_is_replaced() -> None:
    assert with_reasoning(Template.load("deepseek_r1")).retention == "all"
    assert with_reasoning(Template.load("qwen3")).retention == "since_last_user"


# -- tokenizer, stops


def rendered(name: str, count: int) -> tuple[Template, list[Rendering]]:
    """Return a family, and dialogues as it renders them."""
    template = family(name)
    made = make_dialogues(count, abilities_of(template), 0, test=False)
    return template, [template.render(dialogue.conversation()) for dialogue in made]


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
    made = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}] for text in ("H\nello", "Hi")]
    renderings = [template.render(dialogue) for dialogue in made]
    added = {token.content for token in make_tokenizer(template, renderings, 50).added_tokens_decoder.values()}
    assert any(token.startswith("A line of a preamble") for token in added)
    assert not any(token.startswith(opening) for token in added)


@pytest.mark.parametrize("share", [float("nan"), -0.1, 1.5])
def test_what_is_no_share_is_no_threshold(share: float) -> None:
    with pytest.raises(UsageError, match="the threshold accuracy must be from 0 to 1"):
        Thresholds(accuracy=share)


def test_a_token_that_also_occurs_inside_a_turn_is_no_stop_token() -> None:
    template = family("gpt_oss")
    assert set(stop_ids(template, make_tokenizer(template, [], 1)).values()) == {"<|return|>", "<|call|>"}


# -- numbers


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (100, 100, 0.9630, 1.0)]
)
def test_intervals_are_those_of_wilson(count: int, of: int, low: float, high: float) -> None:
    assert Proportion(count, of).interval == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_is_none() -> None:
    assert Proportion(0, 0).to_dict() == {"count": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}


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
    assert find_failures(report(), Thresholds()) == []
    [failure] = find_failures(report(**lacking), Thresholds())  # type: ignore[arg-type]
    assert failure.startswith(said)


def test_a_system_message_that_no_answer_shows_fails_where_other_answers_are_right() -> None:
    tasks_ = {"persona": {"with_reasoning": {"count": 0, "of": 10}}, "tool call": {"all": {"count": 30, "of": 30}}}
    assert find_failures({**report(), "tasks": tasks_}, Thresholds()) == [
        "persona: none of 10 answers is right; the system message may not reach the model"
    ]
    assert find_failures({**report(), "tasks": tasks_}, Thresholds(accuracy=0)) == []
    tasks_["persona"]["with_reasoning"]["count"] = 1
    assert find_failures({**report(), "tasks": tasks_}, Thresholds()) == []


def test_plots_are_well_formed() -> None:
    from xml.etree import ElementTree

    shares = [("a < b", Proportion(5, 10).to_dict()), ("nothing", Proportion(0, 0).to_dict())]
    for picture in (
        bar_plot("Shares & more", shares),
        loss_plot("Loss", [(1, 3.0), (50, 0.01)], 0.005),
        loss_plot("Loss", [], 0),
    ):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
