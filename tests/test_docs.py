"""The documentation: each example runs, generated pages are current, and each page can be reached."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chattmpl import Template
from chattmpl.encode.tokenizer_loader import DEMO_FILE
from support import ROOT
from support.tools import tool

DOCS = ROOT / "docs"
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
)
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[\w-]+)(?:: (?P<words>[^>]*))? -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
PROGRAMS = {
    "chattmpl": [sys.executable, "-m", "chattmpl"],
    "python": [sys.executable],
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
}
"""Programs that examples may call; lines with other programs, which need a network or a server, are not run."""

ELSEWHERE = {
    "docs/how-to/ci.md": "test_docs_ci",
    "docs/how-to/audit.md": "test_data_audit",
    "docs/evidence/field-report.md": "test_docs_field_report",
    "docs/evidence/hub-findings.md": "test_docs_field_report",
    "README.md": "test_repository",
}
"""Pages whose examples other tests run in a world of their own."""

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
TRAINING = ("chattmpl train", "chattmpl prove")
TURN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "reasoning_content": "Hm", "content": "Hello"}]


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    mark: str
    words: str

    @property
    def lines(self) -> list[str]:
        """The command lines of a shell example, without comments."""
        joined = self.text.replace("\\\n", " ")
        shown = [
            line.removeprefix("$ ") for line in joined.splitlines() if self.kind != "console" or line.startswith("$ ")
        ]
        return [line for line in shown if line.strip() and not line.lstrip().startswith("#")]


@cache
def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(each["kind"], each["text"], each["mark"] or "", each["words"] or "") for each in BLOCK.finditer(text)]


def test_each_example_that_is_not_run_has_a_reason() -> None:
    found = {
        block.mark: block.words for page in PAGES for block in blocks(page) if block.mark not in ("", "output", "part")
    }
    assert set(found) <= {"file", "not-run"}
    assert all(found.values())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that examples name, and a git repository with two commits."""
    folder = tmp_path_factory.mktemp("world")
    source = Template.load("chatml").export("train")
    stock = (ROOT / "tests" / "docs" / "qwen3_0_6b.jinja").read_text(encoding="utf-8")  # as Qwen publishes it
    for name in ("my_template", "new", "training", "templates/ours", "hybrid"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.jinja").write_text(source, encoding="utf-8")
    (folder / "qwen3.jinja").write_text(stock, encoding="utf-8")
    for name in ("upstream", "old"):
        (folder / f"{name}.jinja").write_text(Template.load("chatml").export("inference"), encoding="utf-8")
    model = folder / "path" / "to" / "model"
    model.mkdir(parents=True)
    (model / "chat_template.jinja").write_text(stock, encoding="utf-8")
    shutil.copyfile(DEMO_FILE, model / "tokenizer.json")
    shutil.copyfile(DEMO_FILE, folder / "path" / "to" / "tokenizer.json")
    (model / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}', encoding="utf-8")
    (model / "generation_config.json").write_text('{"eos_token_id": 1}', encoding="utf-8")
    (folder / "conv.json").write_text(json.dumps({"messages": TURN}), encoding="utf-8")
    (folder / "math").mkdir()
    for name in ("chats", "data", "mine", "think", "chat", "math/train"):
        (folder / f"{name}.jsonl").write_text((json.dumps({"messages": TURN * 2}) + "\n") * 6, encoding="utf-8")
    (folder / "chats").mkdir()
    (folder / "chats" / "turn.json").write_text(json.dumps({"messages": TURN}), encoding="utf-8")
    (folder / "mixture.yaml").write_text("sources:\n  - {path: chats.jsonl, share: 1}\n", encoding="utf-8")
    (folder / "tools.json").write_text(json.dumps(TOOLS), encoding="utf-8")
    rendering = Template.load("qwen3").render(TURN)
    (folder / "rendered.txt").write_text(rendering.text, encoding="utf-8")
    start, end = rendering.generated[0]
    (folder / "answer.txt").write_text(rendering.text[start:end], encoding="utf-8")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["commit", "-qm", "One"],
        ["tag", "v1.2"],
        ["commit", "-qm", "Two", "--allow-empty"],
    ):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def folder(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the world, in which the examples of one page run in order."""
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


def run(line: str, folder: Path) -> str:
    """Run a command line of a page, and return its output."""
    program, *arguments = shlex.split(line, comments=True)
    environment = {**os.environ, "COLUMNS": "80", "CHATTMPL_CACHE": str(folder.parent / "cache"), "NO_COLOR": "1"}
    done = subprocess.run(
        [*PROGRAMS[program], *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), f"{line}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def can_run(line: str) -> bool:
    """Return whether a line calls only programs of `PROGRAMS`, once."""
    return line.split()[0] in PROGRAMS and not re.search(
        r"[|>`$]|\bDIR\b|playground|--engine ray|python (bench|tools)/", line
    )


def check_output(shown: str, output: str) -> None:
    """Check that each line of an example of output is in the output; an ellipsis stands for anything."""
    for line in shown.splitlines():
        if line.strip() not in ("", "…"):
            pattern = ".*".join(map(re.escape, line.strip().split("…")))
            assert re.search(pattern, output), f"{line!r} is not in the output:\n{output}"


def run_page(page: str, folder: Path, *, training: bool) -> None:
    output = ""
    for block in blocks(page):
        if block.mark == "not-run":
            continue
        if block.mark == "file":
            (folder / block.words).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.words).write_text(block.text, encoding="utf-8")
        elif block.kind in ("sh", "console"):
            for line in block.lines:
                if can_run(line) and (training or not line.startswith(TRAINING)):
                    output = run(line, folder)
        elif block.mark == "output" and output:
            check_output(block.text, output)


@pytest.mark.data
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE and "tutorial/fine" not in page])
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    run_page(page, folder, training=False)


@pytest.mark.train
def test_the_tutorial_runs_with_the_output_that_it_shows(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    run_page("docs/tutorial/fine-tune-qwen3.md", folder, training=True)


@pytest.mark.parametrize("page", [page for page in PAGES if ELSEWHERE.get(page) != "test_docs_field_report"])
def test_the_data_of_a_page_can_be_read(page: str) -> None:
    yaml = pytest.importorskip("yaml")
    for block in blocks(page):
        if block.mark == "not-run":
            continue
        if block.kind == "json":
            rest = block.text.strip()
            while rest:
                rest = rest[json.JSONDecoder().raw_decode(rest)[1] :].strip()
        elif block.kind == "toml":
            tomllib.loads(block.text)
        elif block.kind == "yaml":
            yaml.safe_load(block.text)


@pytest.mark.data
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE and page != "docs/how-to/train.md"])
def test_the_python_of_a_page_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page share their names, as they would in a session."""
    monkeypatch.setenv("CHATTMPL_CACHE", "")
    space: dict[str, Any] = {
        "__name__": "example",
        "Template": Template,
        "template": Template.load("qwen3"),
        "conversation": TURN,
        "records": [{"messages": TURN}] * 3,
        "tokenizer": SimpleNamespace(),
        "text": Template.load("qwen3").render(TURN).text,
        "completion": "<think>\nHm\n</think>\n\nHello<|im_end|>",
        "pieces": ["Hel", "lo"],
        "send": print,
        "tools": None,
    }
    for block in blocks(page):
        if block.kind == "python" and block.mark not in ("not-run", "file", "part"):
            exec(compile(block.text, page, "exec"), space)


# -- generated pages


@pytest.mark.data
def test_the_generated_pages_of_the_reference_are_current() -> None:
    for name, text in tool("make_reference").pages().items():
        assert (DOCS / "reference" / name).read_text(encoding="utf-8") == text, "python tools/make_reference.py"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page for page in PAGES if page.startswith("docs/") and page.removeprefix("docs/") not in navigation]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_page_and_a_heading_of_it(page: str) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        if "://" not in target and (not file.exists() or (anchor and anchor not in headings(file))):
            dead.append(target)
    assert dead == []


def headings(file: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    found = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    found = [re.sub(r"^.*\{ #(\w+) \}$", r"\1", text) for text in found]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in found}
