"""``chattmpl render``."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import click

from chattmpl.cli.inputs import Templates, conversations, tokenizer_of
from chattmpl.cli.options import (
    CLOCK,
    KWARGS,
    SHAPE,
    command,
    format_option,
    library_option,
    template_options,
    tokenizer_option,
)
from chattmpl.cli.output import choose_format, option_of
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.report.writers import WRITERS, Format, Item

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation

FORMATS: tuple[Format, ...] = get_args(Format)

_BY_SUFFIX: dict[str, Format] = {".html": "html", ".htm": "html", ".json": "json", ".jsonl": "json"}


@command("Using templates")
@click.argument("file", metavar="CONV")
@template_options
@SHAPE
@click.option("--generation-prompt", is_flag=True, help="End with the generation prompt.")
@click.option("--continue-final-message", is_flag=True, help="End with the content of the final message.")
@KWARGS
@CLOCK
@tokenizer_option("Tokenizer for showing tokens and the mask")
@library_option("straddle", default=False)
@library_option("control_tokens", default=False)
@library_option("mask", default=False)
@format_option(*FORMATS, by_suffix=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write. The suffixes .html and .json choose the format. Default: stdout.",
)
def render(
    file: str,
    templates: Templates,
    shape: Any,
    generation_prompt: bool,
    continue_final_message: bool,
    template_kwargs: dict[str, Any],
    clock: datetime | None,
    tokenizer: str | None,
    straddle: str | None,
    control_tokens: str | None,
    mask: str | None,
    form: Format | None,
    output: str | None,
) -> None:
    """Render conversations and show the text that the model samples.

    CONV is a .json or .jsonl file, or - for stdin. Without -t, the template is the one named in the file, else the one
    of [tool.chattmpl] in pyproject.toml, else hybrid; a line on stderr names it.
    """
    if generation_prompt and continue_final_message:
        raise UsageError(
            "--generation-prompt and --continue-final-message are mutually exclusive", hint="remove one of them"
        )
    encoding = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
    encoding = {name: value for name, value in encoding.items() if value is not None}
    if encoding and tokenizer is None:
        raise UsageError(f"{option_of(next(iter(encoding)))} needs --tokenizer", hint="as in --tokenizer demo")
    kwargs = template_kwargs | {
        "add_generation_prompt": generation_prompt,
        "continue_final_message": continue_final_message,
        "clock": clock,
    }
    path = None if file == "-" else Path(file)
    templates.file = path
    named, several = _named(conversations(file, shape), "stdin" if path is None else path.name)
    items = _items(named, templates, kwargs, tokenizer, encoding)
    # Nothing is written before the first conversation is rendered, so that an error in it leaves no partial output.
    items = itertools.chain(list(itertools.islice(items, 1)), _collecting(items))
    with _opened(output) as out:
        WRITERS[form or _format(output)](out, items, f"{file} in chattmpl", several)
        out.flush()


def _named(found: Iterator[Conversation], name: str) -> tuple[Iterator[tuple[str, Conversation]], bool]:
    """Return each conversation with its name, and whether there are several."""
    first = list(itertools.islice(found, 2))
    if len(first) < 2:
        return ((name, conversation) for conversation in first), False
    every = enumerate(itertools.chain(first, found))
    return ((f"{name}[{index}]", conversation) for index, conversation in every), True


def _items(
    named: Iterator[tuple[str, Conversation]],
    templates: Templates,
    kwargs: dict[str, Any],
    tokenizer: str | None,
    options: dict[str, Any],
) -> Iterator[Item]:
    loaded = tokenizer_of(tokenizer)
    if loaded is not None:
        from chattmpl.encode import encode

    for name, conversation in named:
        try:
            rendering = templates.of(conversation).render(conversation, **kwargs)
            encoding = None if loaded is None else encode(rendering, loaded, **options)
        except ChatTmplError as error:
            if name.endswith("]"):
                error.message = f"{name}: {error.message}"
            raise
        yield Item(rendering, encoding, name, tokenizer, kwargs["add_generation_prompt"])


def _collecting(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items after the first with the garbage collector on; all objects up to now stay for good."""
    gc.freeze()
    gc.enable()
    yield from items


def _format(output: str | None) -> Format:
    if output is not None and output != "-":
        return _BY_SUFFIX.get(Path(output).suffix.lower(), "text")
    return "rich" if choose_format(None) == "rich" else "text"


@contextmanager
def _opened(output: str | None) -> Iterator[IO[bytes]]:
    if output is None or output == "-":
        yield sys.stdout.buffer
        return
    from chattmpl.template.writer import replacing

    with replacing(Path(output)) as file:
        yield file
