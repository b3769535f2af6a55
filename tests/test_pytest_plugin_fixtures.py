"""The pytest plugin's fixtures, and snapshots of renderings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattmpl import Template
from chattmpl.errors import BudgetError, ChatTmplError, ConversationError, Reason, RenderError
from chattmpl.testing import snapshots
from support.snapshots import matches_snapshot

pytest_plugins = ["pytester"]

SOURCE = """\
{% for m in messages %}
{{ m.role ~ ': ' }}
{%- if m.role == 'assistant' %}{% generation %}{{ m.content ~ '<end>' }}{% endgeneration %}
{% else %}
{{ m.content }}

{% endif %}
{% endfor %}
"""
TURN = [{"role": "user", "content": "Hi  "}, {"role": "assistant", "content": "Hello\n\tyou \\ \u200b"}]
TEMPLATES = "--chattmpl-templates=chat.jinja"
RENDERINGS = (TEMPLATES, "--chattmpl-law=pure", "--chattmpl-conversations=chats")
STORED = Path("__chattmpl__/chat/turn.txt")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a template and a conversation."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("CI", raising=False)
    pytester.path.joinpath("chat.jinja").write_text(SOURCE)
    pytester.mkdir("chats").joinpath("turn.json").write_text(json.dumps({"messages": TURN}))
    return pytester


def text(result: pytest.RunResult) -> str:
    return "\n".join([*result.outlines, *result.errlines])


# chat_template and conversations


def test_a_test_runs_for_each_configured_template(project: pytest.Pytester) -> None:
    project.makepyfile("def test_own(chat_template): assert chat_template.source")
    result = project.runpytest_inprocess(TEMPLATES, "--chattmpl-templates=hybrid", "-v", "-k", "test_own")
    result.assert_outcomes(passed=2, deselected=result.parseoutcomes()["deselected"])
    assert "::test_own[chat.jinja] PASSED" in text(result)
    assert "::test_own[hybrid] PASSED" in text(result)


def test_a_marker_says_which_template_and_policy(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.chat_template("qwen3", retention="all")
        def test_family(chat_template):
            assert (chat_template.name, chat_template.retention) == ("qwen3", "all")

        @pytest.mark.chat_template("chat.jinja")
        def test_beside(chat_template):
            assert chat_template.name.endswith("chat.jinja")

        @pytest.mark.parametrize("chat_template", ["chatml", "gemma3"], indirect=True)
        def test_by_hand(chat_template):
            assert chat_template.family is not None
        """
    )
    project.mkdir("elsewhere")
    project.runpytest_inprocess("--strict-markers", f"--rootdir={project.path / 'elsewhere'}").assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("", "chat_template: no template is configured"),
        ("@pytest.mark.chat_template('qwen4')", "there is no template 'qwen4'"),
        ("@pytest.mark.chat_template('chatml', retention='all')", "no place for the retention policy 'all'"),
    ],
)
def test_a_template_that_cannot_be_had_fails_without_a_traceback(
    project: pytest.Pytester, mark: str, message: str
) -> None:
    project.makepyfile(f"import pytest\n{mark}\ndef test_own(chat_template): pass")
    result = project.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    assert message in text(result)
    assert "hint: " in text(result)
    assert "pytest_plugin.py" not in text(result)


def test_a_configured_template_that_does_not_compile_fails_the_tests_that_use_it(project: pytest.Pytester) -> None:
    project.path.joinpath("broken.jinja").write_text("{% if %}")
    test = project.makepyfile("def test_own(chat_template): pass")
    result = project.runpytest_inprocess("--chattmpl-templates=broken.jinja", test.name, "-k", "test_own")
    assert "broken.jinja:1" in text(result)
    assert "Traceback" not in text(result)
    assert result.parseoutcomes()["errors"] >= 1


def test_the_conversations_come_with_their_names(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_own(conversations):
            (only,) = conversations
            assert only.name == "turn"
            assert only.conversation.messages[0].role == "user"
        """
    )
    project.runpytest_inprocess("--chattmpl-conversations=chats").assert_outcomes(passed=1)


def test_the_conversations_that_ship_are_the_default(project: pytest.Pytester) -> None:
    project.makepyfile("def test_own(conversations): assert 'tool_call' in [c.name for c in conversations]")
    project.runpytest_inprocess().assert_outcomes(passed=1)


# Snapshots of renderings as items


def test_update_writes_snapshots_and_later_runs_compare_with_them(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(*RENDERINGS, "--chattmpl-update")
    result.assert_outcomes(passed=2)
    assert f"snapshot written: {STORED}" in result.outlines
    matches_snapshot("pytest_rendering.txt", (project.path / STORED).read_bytes().decode())
    again = project.runpytest_inprocess(*RENDERINGS, "-v")
    again.assert_outcomes(passed=2)
    assert "chat.jinja::rendering::turn PASSED" in text(again)


def test_another_text_and_another_span_fail_with_the_difference(project: pytest.Pytester) -> None:
    project.runpytest_inprocess(*RENDERINGS, "--chattmpl-update")
    template = project.path / "chat.jinja"
    template.write_text(SOURCE.replace("': '", "'> '"))
    result = project.runpytest_inprocess(*RENDERINGS)
    result.assert_outcomes(passed=1, failed=1)
    shown = text(result)
    assert "-  user: Hi" in shown
    assert "+  user> Hi" in shown
    assert "update the snapshot with --chattmpl-update" in shown
    assert ".py" not in shown
    outside = SOURCE.replace("~ '<end>' }}{% endgeneration %}", "}}{% endgeneration %}{{ '<end>' }}")
    template.write_text(outside)
    project.runpytest_inprocess(*RENDERINGS).assert_outcomes(passed=1, failed=1)


def test_a_missing_snapshot_fails_with_the_way_out_and_is_not_written(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_inprocess(*RENDERINGS, "--chattmpl-snapshots")
    result.assert_outcomes(passed=1, failed=1)
    assert f"missing snapshot {STORED}" in text(result)
    assert "hint: write it with --chattmpl-update" in text(result)
    assert not (project.path / STORED).exists()


def test_a_snapshot_of_no_conversation_is_reported_and_update_removes_it(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nchattmpl_templates = chat.jinja\nchattmpl_laws = pure\nchattmpl_conversations = chats")
    project.runpytest_inprocess("--chattmpl-update")
    old = (project.path / STORED).with_name("old.txt")
    old.write_text("")
    shown = text(project.runpytest_inprocess())
    assert f"stale snapshot: {STORED.with_name('old.txt')}" in shown
    assert old.exists()
    with_workers = text(project.runpytest_subprocess("-n", "2"))
    assert with_workers.count("stale snapshot: ") == 1
    other = project.path / "other.json"
    other.write_text(json.dumps(TURN))
    project.runpytest_inprocess("--chattmpl-update", "--chattmpl-conversations=other.json")
    assert old.exists(), "a run on other conversations says nothing of these"
    assert "stale snapshot removed" in text(project.runpytest_inprocess("--chattmpl-update"))
    assert not old.exists()
    assert (project.path / STORED).exists()


def test_a_refusal_is_a_snapshot_too(project: pytest.Pytester) -> None:
    project.path.joinpath("chat.jinja").write_text("{{ raise_exception('no \\n' ~ 'never') }}")
    project.runpytest_inprocess(*RENDERINGS, "--chattmpl-update", "-k", "rendering").assert_outcomes(
        passed=1, deselected=1
    )
    assert (project.path / STORED).read_text() == "refused: no \\nnever\n"


# Snapshots of renderings in tests


def test_a_rendering_of_a_test_is_compared_with_its_snapshot(project: pytest.Pytester) -> None:
    test = project.makepyfile(
        """
        def test_own(chat_template, conversations, rendering_snapshot):
            rendering = chat_template.render(conversations[0].conversation)
            rendering_snapshot(rendering)
            rendering_snapshot(rendering, "again")
        """
    )
    given = ("--chattmpl-conversations=chats", TEMPLATES, "-k", "test_own")
    missing = project.runpytest_inprocess(*given)
    missing.assert_outcomes(failed=1, deselected=missing.parseoutcomes()["deselected"])
    assert "hint: write it with --chattmpl-update" in text(missing)
    assert "fixtures.py" not in text(missing)
    folder = project.path / "__chattmpl__" / test.stem
    written = project.runpytest_inprocess(*given, "--chattmpl-update")
    names = [path.name for path in sorted(folder.iterdir())]
    assert names == ["test_own[chat.jinja].again.txt", "test_own[chat.jinja].txt"]
    assert text(written).count("snapshot written: ") == 2
    assert "test_own" not in text(project.runpytest_inprocess(*given, "-q"))
    (folder / "test_gone.txt").write_text("")
    assert "stale snapshot: " in text(project.runpytest_inprocess(*given[:2]))
    (folder / names[0]).write_text("else")
    changed = project.runpytest_inprocess(*given)
    assert changed.parseoutcomes()["failed"] == 1


# The format


def read(picture: str) -> tuple[str, list[bool]]:
    """The text of a picture, and whether each character is generated."""
    characters, generated = "", []
    for line in picture.split("\n")[:-1]:
        body = line[2:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
        body += {"↵": "\n", "¬": ""}[line[-1]]
        characters += body
        generated += [line[0] == "▌"] * len(body)
    return characters, generated


@given(st.lists(st.text(st.sampled_from(" ab\\n\n\r\t↵¬▌\x85\u2028\u200b\ue000é😀x1")), min_size=1))
def test_a_snapshot_holds_every_character_and_whether_it_is_generated(contents: list[str]) -> None:
    source = (
        "{% for m in messages %}{% if loop.index0 is odd %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    messages = [{"role": "assistant", "content": content} for content in contents]
    rendering = Template.from_source(source).render(messages)
    characters, generated = read(snapshots.picture(rendering))
    assert characters == rendering.text
    assert generated == [any(a <= at < b for a, b in rendering.generated) for at in range(len(rendering.text))]


def test_a_snapshot_survives_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    picture = snapshots.picture(Template.from_source(SOURCE).render(TURN))
    assert snapshots.write(path, picture)
    assert not snapshots.write(path, picture)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert snapshots.compare(path, picture) is None
    assert "+  user: Ho" in (snapshots.compare(path, picture.replace("Hi", "Ho")) or "")


def test_names_of_files_are_safe() -> None:
    assert snapshots.file_name("test_a[templates/x.jinja]") == "test_a[templates_x.jinja].txt"


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (RenderError("words", reason=Reason.REFUSED, complaint="no\nnever"), "refused: no\\nnever\n"),
        (BudgetError("words", reason=Reason.STEPS), "refused: steps\n"),
        (ConversationError("words"), "refused: ConversationError\n"),
    ],
)
def test_the_snapshot_of_a_refusal_has_its_complaint_or_its_kind_and_no_message(
    error: ChatTmplError, stored: str
) -> None:
    assert snapshots.refusal(error) == stored
