"""``chattmpl parse``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chattmpl.cli.options import moment, template_kwargs, template_options
from chattmpl.cli.template_choice import Templates
from chattmpl.errors import UsageError

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation


@click.command()
@click.argument("file", metavar="TEXT")
@template_options
@click.option("--completion", is_flag=True, help="TEXT is what a model sampled, with or without its stop token.")
@click.option("--prompt", metavar="CONV", help="The conversation that the completion answers.")
@click.option(
    "--generation-prompt/--no-generation-prompt",
    default=None,
    help="Whether TEXT ends with the generation prompt, or a completion begins with it; by default either.",
)
@click.option("--set", "settings", metavar="NAME=JSON", multiple=True, help="A template kwarg, or tools or documents.")
@click.option("--clock", metavar="ISO", help="What time the template was told that it is.")
@click.option("--format", "form", type=click.Choice(("json",)), default="json", help="One JSON object.")
def parse(
    file: str,
    template: str | None,
    retention: str | None,
    variant: str | None,
    completion: bool,
    prompt: str | None,
    generation_prompt: bool | None,
    settings: tuple[str, ...],
    clock: str | None,
    form: str,
) -> None:
    """Parse the text in the file TEXT (- is stdin) back into the conversation that renders to it.

    A text that no conversation renders to is an error, which says where and why.
    """
    from chattmpl.parse import parse as parsed
    from chattmpl.printable import dumps

    if prompt is not None and not completion:
        raise UsageError("--prompt needs --completion", hint="a whole conversation has its prompt in it")
    options: dict[str, Any] = {**template_kwargs(settings), "clock": moment(clock)}
    given = None if prompt is None else _prompt(prompt)
    chosen = Templates(template, Path(prompt) if prompt not in (None, "-") else None, retention, variant).of(given)
    found = parsed(
        chosen, _text(file), completion=completion, generation_prompt=generation_prompt, prompt=given, **options
    )
    made = dumps(found.dump(), indent=2 if sys.stdout.isatty() else None)
    sys.stdout.buffer.write((made + "\n").encode())
    sys.stdout.buffer.flush()


def _prompt(file: str) -> Conversation:
    from chattmpl.cli.input import conversations

    found = list(conversations(file))
    if len(found) != 1:
        raise UsageError(f"--prompt {file} holds {len(found)} conversations", hint="give it a file with one")
    return found[0]


def _text(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        name = "<stdin>" if file == "-" else file
        raise UsageError(
            f"{name}: byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            hint="convert it to UTF-8 first",
        ) from None
