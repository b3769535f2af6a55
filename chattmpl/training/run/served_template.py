"""What is saved with a model, so that what is served is what was trained: its template, and where turns end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, TemplateError
from chattmpl.template.template import Template
from chattmpl.template.writer import TEMPLATE_FILE, replacing

TRAINING_FILE = "chat_template.train.jinja"
"""The template with generation tags, beside the one that is served."""


def write_templates(folder: Path, template: Template, served: str) -> None:
    """Writes the template that is served, and beside it the one that is trained."""
    for name, text in ((TEMPLATE_FILE, served), (TRAINING_FILE, template.export("train"))):
        with replacing(folder / name) as file:
            file.write(text.encode())


def check_saved(
    tokenizer: Any, template: Template, conversations: Sequence[Any], kwargs: Mapping[str, Any], clock: Any
) -> int:
    """Compares what a tokenizer renders once it is saved and loaded with what the template renders; see `check`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return check(folder, template, conversations, kwargs, clock)


def check(
    folder: str | Path, template: Template, conversations: Sequence[Any], kwargs: Mapping[str, Any], clock: Any
) -> int:
    """Compares what transformers renders with the tokenizer of a folder with what the template renders.

    Args:
        folder: of the model.
        template: that was trained.
        conversations: to render, whole, and as the prompt of each turn of the assistant.
        kwargs: variables of the template.
        clock: what time it is told that it is; templates that read the clock of the machine are not compared.

    Returns:
        How many texts were compared.

    Raises:
        TemplateError: two differ.
    """
    from transformers import AutoTokenizer

    served = AutoTokenizer.from_pretrained(str(folder))
    count = 0
    if "strftime_now" in template.source:
        return 0
    for each in conversations:
        whole = Conversation.coerce(each)
        turns = [at for at, message in enumerate(whole.messages) if message.role == "assistant"]
        for end in (len(whole.messages), *turns):
            prompt = end < len(whole.messages)
            part = whole.model_copy(update={"messages": whole.messages[:end]})
            if not part.messages or _refused(template, part, prompt, kwargs):
                continue
            ours = template.render(part, prompt, clock, **kwargs).text
            theirs = _rendered(served, part, prompt, kwargs)
            if ours != theirs:
                raise _difference(ours, theirs)
            count += 1
    return count


def _refused(template: Template, part: Conversation, prompt: bool, kwargs: Mapping[str, Any]) -> bool:
    try:
        template.render(part, prompt, **kwargs)
    except ChatTmplError:
        return True
    return False


def _rendered(served: Any, part: Conversation, prompt: bool, kwargs: Mapping[str, Any]) -> str:
    data = part.to_template_input()
    given = {**data["kwargs"], **kwargs}
    text: str = served.apply_chat_template(
        data["messages"],
        tools=data["tools"],
        documents=data["documents"],
        add_generation_prompt=prompt,
        tokenize=False,
        **{name: value for name, value in given.items() if value is not None},
    )
    return text


def _difference(ours: str, theirs: str) -> TemplateError:
    at = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), None)
    at = min(len(ours), len(theirs)) if at is None else at
    around = slice(max(0, at - 30), at + 30)
    return TemplateError(
        f"what is served would not be what is trained: at character {at} the template renders {ours[around]!r}, and "
        f"transformers with the saved tokenizer {theirs[around]!r}",
        hint="are the special tokens of the tokenizer those that the template writes?",
    )
