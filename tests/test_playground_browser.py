"""The playground in a real browser: what a person does, and what must not be possible."""

from __future__ import annotations

import functools
import http.client
import http.server
import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chattmpl.playground.state import TABS, State, to_fragment
from chattmpl.template.family import family_names
from support.fetched import axe_script
from support.playground import Served, chromium, serving, violations

pytestmark = pytest.mark.browser

SECONDS = 40_000
"""Milliseconds that something may take on a machine that is busy with something else."""

_DOES = "window.pwned=1"
HOSTILE = f"</script><script>{_DOES}</script><img src=x onerror='{_DOES}'>{{{{ '<svg onload={_DOES}>' }}}}"
OWN = """{% for message in messages %}<|{{ message.role }}|>
{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}
{% else %}{{ message.content }}<|end|>
{% endif %}{% endfor %}"""
SHOWN = {"laws": ".view .lawrow", "tokens": ".view .tok", "compare": ".view .sides"}
"""Selectors of elements that show that a view is complete; other views have frames."""

TEN_TURNS = [
    {"role": role, "content": f"{role} says something of number {number}, and then some more of it."}
    for number in range(5)
    for role in ("user", "assistant")
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    if importlib.util.find_spec("playwright") is None or importlib.util.find_spec("nicegui") is None:
        pytest.skip("playwright or nicegui is not installed")
    from playwright.sync_api import sync_playwright

    program = chromium()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(browser: Any) -> Iterator[Served]:
    """One playground for the tests that need none of their own."""
    with serving("qwen3") as found:
        yield found


@pytest.fixture
def open_page(browser: Any, served: Served) -> Iterator[Any]:
    """Opens pages, and looks whether they only talked to the playground and nothing in them failed."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def opened(state: State | None = None, *, address: str = "", **options: Any) -> Any:
        home = address or served.address
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(SECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: _note_foreign(request.url, home, wrong))
        page.goto(home + ("" if state is None else "#" + to_fragment(state)))
        page.wait_for_selector(".view .frame, .view .laws, .view .nothing")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _note_foreign(url: str, home: str, wrong: list[str]) -> None:
    if not url.startswith((home, home.replace("http:", "ws:"), "data:", "blob:")):
        wrong.append(f"a request left: {url}")


def template_editor(page: Any) -> Any:
    return page.locator('.cm-content[aria-label="Template, Jinja"]')


def replace_text(page: Any, editor: Any, text: str) -> None:
    """Put another text into an editor, as a person would paste it."""
    editor.focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def text_of(page: Any, editor: Any) -> str:
    """The whole text of an editor, also what it has not drawn."""
    editor.focus()
    page.keyboard.press("Control+a")
    return str(page.evaluate("getSelection().toString()"))


# -- what a person does


@pytest.mark.parametrize("family", family_names())
def test_each_family_can_be_chosen(open_page: Any, family: str) -> None:
    page = open_page()
    page.get_by_label("Template", exact=True).and_(page.locator("select")).select_option(family)
    page.wait_for_function("family => location.hash.length > 1 || family === 'qwen3'", arg=family)
    page.wait_for_selector(".view .gen")
    assert page.locator(".view .frame").count() >= 6
    assert page.locator(".banner").inner_text() == ""


def test_editing_the_template_changes_the_mask(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN, fixture="single_turn"))
    assert "<|end|>" in page.locator(".view .made .gen").last.inner_text()
    outside = OWN.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    replace_text(page, template_editor(page), outside)
    page.wait_for_function("![...document.querySelectorAll('.view .gen')].some(e => e.innerText.includes('<|end|>'))")
    assert page.locator(".view .made .gen").count() > 0


def test_a_broken_template_shows_where_and_keeps_the_last_good_rendering(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN, fixture="single_turn"))
    before = page.locator(".view .text").inner_text()
    replace_text(page, template_editor(page), OWN.replace("{% endif %}{% endfor %}", "{% endfor %}"))
    page.wait_for_selector(".panel.stale")
    assert page.locator(".view .text").inner_text() == before
    assert "Template, line 2" in page.locator(".banner").inner_text()
    assert "last good" in page.locator(".banner").inner_text()
    marked = page.locator(".cm-line.has-error")
    marked.wait_for()
    assert "{% if" in marked.inner_text()
    assert page.locator(".problems .error").first.inner_text().startswith("✕")
    replace_text(page, template_editor(page), OWN)
    page.wait_for_selector(".panel:not(.stale)")
    assert page.locator(".banner").inner_text() == ""


def test_findings_of_lint_stand_in_the_margin(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN.replace("{% else %}", "{% endif %}{% if message.rolle %}")))
    page.wait_for_selector(".cm-line.has-warning, .cm-line.has-error")
    assert "CT701" in page.locator(".problems").first.inner_text()


def test_a_conversation_that_is_wrong_is_shown_in_its_editor(open_page: Any) -> None:
    page = open_page(State(base="qwen3"))
    editor = page.locator('.cm-content[aria-label="Conversation, JSON"]')
    replace_text(page, editor, '[\n{"role": "asistant", "content": "Hi"}]')
    page.wait_for_selector(".panel.stale")
    assert "Conversation, line 2" in page.locator(".banner").inner_text()
    assert page.locator(".problems").nth(1).locator(".error").count() == 1


def test_a_counterexample_is_loaded_with_one_click(open_page: Any) -> None:
    outside = OWN.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    page = open_page(State(base="", source=outside, tab="laws"))
    page.wait_for_selector(".lawrow")
    row = page.locator(".lawrow.broken", has_text="stop").first
    assert "broken" in row.inner_text()
    assert page.locator(".lawrow.holds").count() > 0
    row.get_by_role("button", name="Load this conversation").click()
    page.wait_for_selector(".view .frame")
    assert page.locator("#tab-rendered").get_attribute("aria-selected") == "true"
    chosen = page.get_by_label("Conversation", exact=True).locator("option:checked")
    assert "counterexample of stop" in chosen.inner_text()
    assert page.locator(".view .frame").count() < 6


def test_a_policy_is_switched_and_compared(open_page: Any) -> None:
    page = open_page(State(base="qwen3"))
    traces = page.locator(".view .gen", has_text="2x + 6")
    assert traces.count() == 0
    page.get_by_label("Retention", exact=True).select_option("all")
    page.wait_for_selector(".view .gen:has-text('2x + 6')")
    page.locator("#tab-compare").click()
    page.wait_for_selector(".view .sides")
    page.get_by_label("With", exact=True).select_option("none")
    page.wait_for_selector(".view .sides section:nth-child(2) h3:has-text('none')")
    assert page.locator(".view .del", has_text="2x + 6").count() >= 1
    assert "changes" in page.locator(".counts").inner_text()


def test_the_address_brings_back_the_same_page(open_page: Any) -> None:
    page = open_page()
    replace_text(page, template_editor(page), OWN)
    page.get_by_label("Conversation", exact=True).and_(page.locator("select")).select_option("unicode")
    page.get_by_label("Generation prompt").check()
    page.locator("#tab-tokens").click()
    page.wait_for_selector(".view .tok")
    page.wait_for_function("location.hash.length > 100")
    page.wait_for_timeout(1000)
    before, address = page.locator(".view").inner_text(), page.url
    page.reload()
    page.wait_for_selector(".view .tok")
    assert page.locator(".view").inner_text() == before
    assert text_of(page, template_editor(page)).split() == OWN.split()
    assert page.get_by_label("Generation prompt").is_checked()
    other = open_page()
    other.evaluate("address => { location.href = address; }", address)
    other.wait_for_selector(".view .tok")
    assert other.locator(".view").inner_text() == before


def test_a_kwarg_has_a_control(open_page: Any) -> None:
    page = open_page(State(base="qwen3", prompt=True))
    page.get_by_label("enable_thinking").select_option("false")
    page.wait_for_selector(".view .frame:last-child:has-text('<think>')")


def test_pointing_lights_up_both_ways(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN, fixture="single_turn"))
    page.wait_for_selector(".cm-line.wrote")
    page.locator(".view .made .gen.fld").first.hover()
    said = page.locator("#origin").inner_text()
    assert said.startswith("messages[1].content · template line 2 · generated")
    lit = "getComputedStyle(document.querySelector(selector)).backgroundColor"
    colour = page.evaluate(f"selector => {lit}", ".cm-line.L2")
    assert colour == page.evaluate(f"selector => {lit}", ".cm-content .value[class*='F3']")
    page.locator(".cm-line.L3").hover()
    assert page.evaluate(f"selector => {lit}", ".view .given .fld.L3") == colour
    page.locator(".view .text").focus()
    page.keyboard.press("ArrowRight")
    assert "template line 1" in page.locator("#origin").inner_text()


def test_what_is_typed_fast_is_not_lost(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN, fixture="single_turn"))
    typed = "The quick brown fox jumps over the lazy dog, again and again. " * 3
    template_editor(page).focus()
    page.keyboard.press("Control+Home")
    page.keyboard.type(typed, delay=8)
    page.wait_for_function("text => document.querySelector('.view .text').innerText.includes(text)", arg=typed[:60])
    page.wait_for_timeout(800)
    assert typed.strip() in page.locator(".view .text").inner_text().replace("\n", " ")
    assert text_of(page, template_editor(page)).startswith(typed.strip())


def test_a_watched_file_is_followed(open_page: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(OWN)
    with serving(str(file)) as own:
        page = open_page(address=own.address)
        file.write_text(OWN.replace("<|end|>", "<|fine|>"))
        page.wait_for_selector(".view:has-text('<|fine|>')")
        page.close()


def test_the_view_is_saved_as_one_file(open_page: Any, browser: Any, tmp_path: Path) -> None:
    page = open_page(State(base="qwen3", tab="tokens", fixture="single_turn"))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as HTML").click()
    saved = tmp_path / "saved.html"
    waiting.value.save_as(saved)
    alone = browser.new_context(java_script_enabled=False, offline=True)
    shown = alone.new_page()
    shown.goto(saved.as_uri())
    assert shown.locator(".tok.gen").count() == page.locator(".view .tok.gen").count()
    alone.close()


def test_an_export_is_saved(open_page: Any) -> None:
    page = open_page(State(base="qwen3", tab="export"))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as .jinja").last.click()
    assert waiting.value.suggested_filename == "qwen3-inference.jinja"


# -- what must not be possible


def test_a_template_that_never_ends_leaves_the_page_alive(open_page: Any) -> None:
    page = open_page(State(base="", source=OWN, fixture="single_turn"))
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% set x = j %}{% endfor %}{% endfor %}"
    replace_text(page, template_editor(page), endless)
    page.wait_for_selector(".banner:has-text('steps'), .banner:has-text('seconds')")
    page.locator("#tab-tokens").click()
    replace_text(page, template_editor(page), OWN)
    page.wait_for_selector(".view .tok")


def test_hostile_text_is_only_ever_text(open_page: Any) -> None:
    conversation = json.dumps([{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}])
    state = State(base="", name=HOSTILE, source=HOSTILE + OWN, conversation=conversation, fixture=HOSTILE)
    page = open_page(State(**{**state.to_dict(), "other": HOSTILE, "against": "template"}))
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        page.wait_for_selector(SHOWN.get(tab, ".view .frame"))
        page.wait_for_timeout(300)
        assert page.evaluate("window.pwned") is None
        assert page.locator(".view script, .view img, .view svg").count() == 0


def test_a_request_from_another_origin_is_refused(browser: Any, served: Served, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>another page</title>")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
        socket = f"ws://127.0.0.1:{served.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        opened = page.evaluate(
            "url => new Promise(done => { const s = new WebSocket(url); s.onopen = () => done(true); "
            "s.onerror = () => done(false); })",
            socket,
        )
        read = page.evaluate("url => fetch(url).then(() => true, () => false)", served.address)
        with page.expect_response(served.address) as waiting:
            page.evaluate("url => fetch(url, {mode: 'no-cors'})", served.address)
        assert (opened, read, waiting.value.status) == (False, False, 403)
        framed = "url => document.body.append(Object.assign(document.createElement('iframe'), {src: url}))"
        with page.expect_response(served.address) as waiting:
            page.evaluate(framed, served.address)
        assert waiting.value.status == 403
        context.close()
        elsewhere.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_another_name_for_this_machine_is_refused(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.request("GET", "/", headers={"Host": f"rebound.example:{served.port}"})
    assert connection.getresponse().status == 403
    connection.close()


def test_a_port_that_is_taken_is_one_clear_error(served: Served) -> None:
    command = [sys.executable, "-m", "chattmpl", "playground", "--no-browser", "--port", str(served.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: port {served.port} is in use\nhint: choose another one with --port\n"


# -- how it is for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(open_page: Any, scheme: str, width: int) -> None:
    script = axe_script()
    options: dict[str, Any] = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme, "bypass_csp": True}
    page = open_page(State(base="gpt_oss", fixture="tool_call"), **options)
    page.wait_for_selector(".problems button")
    found = []
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        page.wait_for_selector(SHOWN.get(tab, ".view .frame"))
        if width > 1000 or tab == "laws":  # what is narrow has the same colours
            found += [f"{tab}: {problem}" for problem in violations(page, script)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert found == []


def test_the_keyboard_reaches_the_views(open_page: Any) -> None:
    page = open_page(State(base="qwen3"))
    page.locator("#tab-rendered").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".view .tok")
    assert page.evaluate("document.activeElement.id") == "tab-tokens"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-export"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reached = set()
    page.locator("header button").first.focus()
    for _ in range(60):
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel || ''"))
    assert {"tab-export", "panel", "Template, Jinja", "Conversation, JSON"} <= reached


def test_a_change_shows_soon(open_page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = open_page(State(base="qwen3", conversation=json.dumps({"messages": TEN_TURNS}, indent=2)))
    page.wait_for_timeout(1500)
    page.evaluate(
        "() => { window.seen = []; new MutationObserver(() => seen.push(performance.now()))"
        ".observe(document.querySelector('.view'), {childList: true, subtree: true}); }"
    )
    taken = []
    template_editor(page).focus()
    page.keyboard.press("Control+End")
    for number in range(12):
        page.evaluate(
            "() => { seen.length = 0; const note = () => { window.pressed = performance.now(); };"
            "addEventListener('keydown', note, {once: true, capture: true}); }"
        )
        page.keyboard.press("xyz"[number % 3])
        page.wait_for_function("seen.length > 0")
        taken.append(page.evaluate("seen[0] - pressed"))
        time.sleep(0.5)
    with capsys.disabled():
        print(f"\na change of a template shows after {statistics.median(taken):.0f} ms (ten turns, qwen3)")
    assert statistics.median(taken) < 3_000
