"""``chattmpl diff``: what changes between two templates, or two revisions of one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from chattmpl import Conversation, Template
from chattmpl.compare.cases import cases
from chattmpl.compare.template_diff import diff, hunks
from support.command import Outcome, run_here
from support.extras import need
from support.snapshots import matches_snapshot

HEADER = "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' }}"
PLAIN = HEADER + "{{ m.content }}<|end|>{% endfor %}"
MASKED = (
    HEADER + "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
)
STRIPPED = PLAIN.replace("m.content }}", "m.content | trim }}")
REFUSING = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + PLAIN

CHAT = Conversation.coerce(
    [{"role": "user", "content": " Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": " Bye"}]
)


def compared(before: str, after: str) -> list[tuple[str, int]]:
    found = diff(Template.from_source(before), Template.from_source(after), cases([("chat", CHAT)], [{}]))
    return [(group.change, len(group.cases)) for group in found.groups]


def run(folder: Path, *arguments: str, **sources: str) -> Outcome:
    for name, source in sources.items():
        (folder / f"{name}.jinja").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_here(["diff", *arguments])


def test_a_template_does_not_differ_from_itself() -> None:
    assert compared(PLAIN, PLAIN) == []


def test_changes_of_one_cause_are_one_group_though_they_show_in_many_places() -> None:
    assert compared(PLAIN, STRIPPED) == [("text", 2)]


def test_other_generated_spans_of_the_same_text_are_a_change_of_the_mask() -> None:
    assert compared(PLAIN, MASKED) == [("mask", 2)]


def test_a_change_of_the_mask_says_in_which_direction() -> None:
    one, other = (Template.from_source(source).render(CHAT) for source in (PLAIN, MASKED))
    (gained,), (lost,) = hunks(one, other), hunks(other, one)
    assert gained.gained
    assert not lost.gained
    assert one.text[slice(*gained.old)] == "Hello<|end|>"


def test_an_insertion_is_shown_where_a_part_of_the_template_begins() -> None:
    longer = HEADER + "{{ '<a>\n' }}{{ '<b>\n' }}{% endfor %}"
    before = Template.from_source(HEADER + "{{ '<a>\n' }}{% endfor %}").render(CHAT.with_messages(CHAT.messages[:1]))
    after = Template.from_source(longer).render(CHAT.with_messages(CHAT.messages[:1]))
    (hunk,) = hunks(before, after)
    assert after.text[slice(*hunk.new)] == "<b>\n"


def test_different_lines_are_different_groups() -> None:
    two = "{% for m in messages %}\n{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    changed = two.replace("m.role }}", "m.role | upper }}").replace("m.content }}", "m.content | trim }}")
    assert len(compared(two, changed)) == 2


def test_what_only_one_template_refuses_is_told_with_its_words(tmp_path: Path) -> None:
    done = run(tmp_path, "a.jinja", "b.jinja", "--no-laws", a=PLAIN, b=REFUSING)
    assert done.code == 1
    assert "B refuses what A renders" in done.out
    assert "no tools" in done.out
    back = run(tmp_path, "b.jinja", "a.jinja", "--no-laws")
    assert "B renders what A refuses" in back.out


def test_no_change_ends_with_0(tmp_path: Path) -> None:
    done = run(tmp_path, "a.jinja", "b.jinja", a=PLAIN, b=PLAIN)
    assert (done.code, done.err) == (0, "")
    assert "nothing changes" in done.out


def test_a_law_that_is_broken_now_is_told_with_its_counterexample(tmp_path: Path) -> None:
    good = MASKED + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    bad = good.replace("{% generation %}{{ m.content }}", "{{ m.content[:1] }}{% generation %}{{ m.content[1:] }}")
    done = run(tmp_path, "a.jinja", "b.jinja", a=good, b=bad)
    assert "sampled" in done.out.partition("\nlaws\n")[2]
    assert "→ broken" in done.out
    back = run(tmp_path, "b.jinja", "a.jinja")
    assert "broken → holds for" in back.out


def test_json_has_the_cases_both_texts_and_their_lines(tmp_path: Path) -> None:
    done = run(
        tmp_path, "a.jinja", "b.jinja", "--format", "json", "--no-laws", "--tokenizer", "demo", a=PLAIN, b=MASKED
    )
    found = json.loads(done.out)
    assert set(found) == {"before", "after", "renders", "changed", "generated", "trained", "groups", "laws"}
    (group,) = found["groups"]
    assert group["change"] == "mask"
    assert group["before"]["text"] == group["after"]["text"]
    assert group["after"]["line"] == 1
    assert set(group["cases"][0]) == {"conversation", "generation_prompt", "kwargs"}
    assert found["generated"][0] == found["trained"][0] == 0
    assert found["trained"][1] > 0


def test_conversations_of_a_file_are_compared_too(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps([{"role": "user", "content": "  odd"}]))
    done = run(tmp_path, "a.jinja", "b.jinja", "--conversations", "own.json", "--no-laws", a=PLAIN, b=STRIPPED)
    assert "own.json" in done.out


def test_the_text_for_people_is_as_it_was(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "a.jinja",
        "b.jinja",
        "--no-laws",
        a=PLAIN,
        b=MASKED.replace("Hello", "").replace("<|end|>", "<|stop|>"),
    )
    matches_snapshot("diff_text.txt", done.out)


# -- revisions


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    (tmp_path / "templates").mkdir()
    model = tmp_path / "model"
    model.mkdir()
    for number, source in enumerate((PLAIN, MASKED)):
        (tmp_path / "templates" / "x.jinja").write_text(source)
        (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": source, "eos_token": "<|end|>"}))
        git("add", ".")
        git("commit", "--quiet", "-m", str(number))
    return tmp_path


def test_a_revision_of_a_file_is_compared_with_the_file(repository: Path) -> None:
    done = run(repository, "HEAD~1:templates/x.jinja", "templates/x.jinja", "--no-laws")
    assert done.code == 1, done.err
    assert done.out.startswith("A HEAD~1:templates/x.jinja\nB templates/x.jinja\n")
    assert run(repository, "HEAD:templates/x.jinja", "templates/x.jinja", "--no-laws").code == 0


def test_since_compares_a_template_with_what_it_was(repository: Path) -> None:
    assert run(repository, "templates/x.jinja", "--since", "HEAD~1", "--no-laws").code == 1
    assert run(repository, "templates/x.jinja", "--since", "main", "--no-laws").code == 0


def test_a_path_of_a_revision_is_meant_from_here(repository: Path) -> None:
    assert run(repository / "templates", "HEAD~1:x.jinja", "x.jinja", "--no-laws").code == 1


def test_a_model_directory_has_revisions_too(repository: Path) -> None:
    done = run(repository, "model", "--since", "HEAD~1", "--no-laws")
    assert done.code == 1, done.err
    assert "HEAD~1:model/tokenizer_config.json" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("main~9:templates/x.jinja", "chatml"), "unknown revision 'main~9'"),
        (("mian:templates/x.jinja", "chatml"), "did you mean 'main'?"),
        (("main:templates/y.jinja", "chatml"), "templates/y.jinja does not exist in revision main"),
        (("--output=x:templates/x.jinja", "chatml"), "no such option"),
        (("chatml",), "expected two templates"),
        (("chatml", "qwen3", "--since", "main"), "expected two templates"),
        (("chatml", "qwen3", "--set", "enable_thinkin=true"), "neither template reads a kwarg"),
    ],
)
def test_what_git_or_we_do_not_know_is_one_clear_message(
    repository: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run(repository, *arguments)
    assert done.code == 2
    assert says in done.err
    assert "Traceback" not in done.err


def test_without_git_or_a_repository_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not a git repository" in run(tmp_path, "HEAD:x.jinja", "chatml").err
    monkeypatch.setenv("PATH", "")
    done = run(tmp_path, "HEAD:x.jinja", "chatml")
    assert done.code == 2
    assert "needs git" in done.err


@pytest.mark.data
@pytest.mark.parametrize("command", ["check", "diff", "engines"])
def test_conversations_may_be_of_any_data_file(command: str, tmp_path: Path) -> None:
    need("numpy", "pyarrow")
    own, template = tmp_path / "own.csv", tmp_path / "a.jinja"
    own.write_text("instruction,output\nWhat is 2 + 2?,It is  odd\n", encoding="utf-8")
    template.write_text("{% for m in messages %}{{ m.content | trim }}{% endfor %}", encoding="utf-8")
    also = {"check": [], "diff": [str(template)], "engines": ["--engine", "tgi"]}[command]
    done = run_here([command, str(template), *also, "--conversations", str(own)])
    assert (done.code in (0, 1), done.err) == (True, "")
