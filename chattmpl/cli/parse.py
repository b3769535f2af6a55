"""``chattmpl parse``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.inputs import Templates, conversations, read_text
from chattmpl.cli.options import CLOCK, KWARGS, command, template_options
from chattmpl.cli.output import note, write
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation


@command(
    "Using templates",
    "chattmpl parse rendered.txt -t qwen3",
    "chattmpl parse answer.txt -t qwen3 --completion --prompt conv.json",
)
@click.argument("file", metavar="TEXT")
@template_options
@click.option("--completion", is_flag=True, help="Parse TEXT as a completion; its stop token may be missing.")
@click.option(
    "--exact", is_flag=True, help="Refuse a completion that the template writes differently; needs --completion."
)
@click.option(
    "--prompt", metavar="CONV", help="File with the conversation that the completion answers; needs --completion."
)
@click.option(
    "--generation-prompt/--no-generation-prompt",
    default=None,
    help="Require TEXT to end with the generation prompt (a completion, to begin with it), or not to. Default: either.",
)
@KWARGS
@CLOCK
@click.option("--format", "form", type=click.Choice(("json",)), default="json", help="Output format.")
def parse(
    file: str,
    templates: Templates,
    completion: bool,
    exact: bool,
    prompt: str | None,
    generation_prompt: bool | None,
    template_kwargs: dict[str, Any],
    clock: datetime | None,
    form: str,
) -> None:
    """Parse rendered text back into the conversation that renders to it.

    TEXT is a file, or - for stdin. Text that no conversation renders to is an error that says where and why. A
    completion may also be written as models write them, with other white space around markup or inside JSON; a note on
    stderr shows where the template writes it differently.
    """
    from chattmpl.parse import ParsedConversation
    from chattmpl.parse import parse as parsed
    from chattmpl.printable import dumps

    if prompt is not None and not completion:
        raise UsageError("--prompt needs --completion", hint="a whole conversation includes its prompt")
    if exact and not completion:
        raise UsageError("--exact needs --completion", hint="a whole conversation is always parsed exactly")
    given = None if prompt is None else _prompt(prompt)
    templates.file = None if prompt in (None, "-") else Path(str(prompt))
    text = read_text(file)
    found = parsed(
        templates.of(given),
        text,
        completion=completion,
        exact=exact or None,
        generation_prompt=generation_prompt,
        prompt=given,
        clock=clock,
        **template_kwargs,
    )
    if isinstance(found, ParsedConversation) and found.differs is not None:
        note(f"the template writes this message differently: {found.differs}")
    write(dumps(found.dump(), indent=2 if sys.stdout.isatty() else None) + "\n")


def _prompt(file: str) -> Conversation:
    found = list(conversations(file))
    if len(found) != 1:
        raise UsageError(f"--prompt {file} holds {len(found)} conversations", hint="name a file with one conversation")
    return found[0]
