"""The arguments that the playground was started with, and the check of the names in an address."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chattmpl.conversation.files import find_conversation_files, load_conversations
from chattmpl.engine import HUGGINGFACE
from chattmpl.errors import ChatTmplError
from chattmpl.playground.state import State
from chattmpl.playground.views import compare
from chattmpl.playground.views.inputs import Failed, fixture_names, found_of, text_of
from chattmpl.template.family import family_names
from chattmpl.template.resolver import find_template

DEMO = "demo"
MOST_CONVERSATIONS = 200
"""Limit of conversations per file, as a longer list is of no use."""


@dataclass
class Setup:
    """The arguments of the command line.

    Attributes:
        template: a family, a file, or a model directory.
        tokenizer: see `chattmpl.encode.load_tokenizer`.
        trusted: the files and tokenizers that the user named. Others are not read when an address names them.
    """

    template: str = "hybrid"
    conversations: dict[str, str] = field(default_factory=dict)
    tokenizer: str = DEMO
    trusted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.trusted |= {self.template, self.tokenizer}

    def first(self) -> State:
        """Return the state that is shown without an address."""
        own = next(iter(self.conversations), None)
        state = State(base=self.template, tokenizer=self.tokenizer)
        return state if own is None else replace(state, fixture=own, conversation=self.conversations[own])


def set_up(
    template: str | None,
    conversations: str | None,
    tokenizer: str | None,
    say: Callable[[str], None] = lambda text: None,
) -> Setup:
    """Check the arguments of the command line and read the conversations.

    Raises:
        ChatTmplError: if the template, the folder or the tokenizer does not exist.
    """
    if template is not None:
        find_template(template)
    if tokenizer not in (None, DEMO):
        from chattmpl.encode import load_tokenizer

        load_tokenizer(tokenizer)
    found = {} if conversations is None else read_folder(Path(conversations), say)
    return Setup(template or "hybrid", found, tokenizer or DEMO)


def read_folder(folder: Path, say: Callable[[str], None] = lambda text: None) -> dict[str, str]:
    """Read the conversations of a folder or a file as texts; a file with several gives one entry for each.

    Args:
        folder: the folder or the file.
        say: receives a line for each file of which not all are listed.

    Raises:
        UsageError: if there are none.
        ConversationError: if one of them is invalid.
    """
    texts: dict[str, str] = {}
    for file in find_conversation_files(str(folder)):
        every = load_conversations(file)
        found = list(zip(range(MOST_CONVERSATIONS), every, strict=False))
        if next(iter(every), None) is not None:
            say(f"note: {file} has more conversations; the first {MOST_CONVERSATIONS} are listed")
        if file.suffix == ".json" and len(found) == 1:
            texts[file.name] = file.read_text(encoding="utf-8-sig")
            continue
        for index, conversation in found:
            name = f"{file.name}[{index}]" if len(found) > 1 else file.name
            texts[name] = json.dumps(conversation.dump(), ensure_ascii=False, indent=2) + "\n"
    return texts


@dataclass
class Watch:
    """A watched file.

    Attributes:
        path: the file.
    """

    path: Path
    _seen: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._seen = self._stamp()

    def changed(self) -> bool:
        """Return whether the file changed since the last call. A file that is missing for a moment did not change."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def watched(name: str) -> Path | None:
    """Return the file of the template that the command line names; None for a family."""
    path = Path(name)
    if path.is_dir():
        held = [path / file for file in ("template.jinja", "chat_template.jinja", "tokenizer_config.json")]
        return next((file for file in held if file.is_file()), None)
    return path if path.is_file() else None


def shared(state: State) -> State:
    """Return the state as it is put into an address, with the text of a template that is a file."""
    if not state.base or state.base in family_names():
        return state
    try:
        found = found_of(state)
        tokens = {name: token for name, token in found.tokens.items() if token is not None}
        return replace(state, base="", source=text_of(state), name=Path(state.base).name, tokens=tokens)
    except (Failed, ChatTmplError, OSError):
        return state


def accepted(state: State, setup: Setup) -> tuple[State, list[str]]:
    """Return the state of an address without files that only the user may read, and the names of the omitted ones."""
    left: list[str] = []
    if state.base and state.base not in family_names() and state.base not in setup.trusted:
        left.append(f"the template {state.base}")
        state = replace(state, base="", source=state.source or "")
    if not state.base and setup.template not in family_names() and Path(setup.template).name == state.name:
        # The address comes from this playground: keep watching the file.
        base = State(base=setup.template)
        own = state.source == text_of(base)
        state = replace(state, base=setup.template, source=None if own else state.source, tokens={})
    if state.tokenizer not in ("", DEMO) and state.tokenizer not in setup.trusted:
        left.append(f"the tokenizer {state.tokenizer}")
        state = replace(state, tokenizer=DEMO)
    # An address starts no program outside of Python: the user has to choose node.
    listed = state.other in compare.choices(state) and state.other != HUGGINGFACE
    if state.other and not listed and state.other not in setup.trusted:
        left.append(f"the comparison with {state.other}")
        state = replace(state, other="")
    if state.conversation is None and state.fixture not in fixture_names():
        own_text = setup.conversations.get(state.fixture)
        state = replace(state, fixture=state.fixture if own_text else State().fixture, conversation=own_text)
    return state, left
