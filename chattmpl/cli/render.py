"""``chattmpl render``."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import click

from chattmpl.cli.input import conversations
from chattmpl.cli.options import moment, template_kwargs, template_options
from chattmpl.cli.template_choice import Templates
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.report.writers import WRITERS, Format, Item

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation

FORMATS: tuple[Format, ...] = get_args(Format)
SHAPES = ("messages", "sharegpt", "alpaca", "prompt-completion")
STRADDLE = ("include", "exclude", "error", "split")
CONTROL_TOKENS = ("escape", "allow", "error")
MASK = ("all", "last", "flags", "no-reasoning")
"""The values that `chattmpl.loaders` and `chattmpl.encode` take, known here without importing them."""

_BY_SUFFIX: dict[str, Format] = {".html": "html", ".htm": "html", ".json": "json", ".jsonl": "json"}


@click.command()
@click.argument("file", metavar="CONV")
@template_options
@click.option("--shape", type=click.Choice(SHAPES), help="The shape of the data, where its keys do not show it.")
@click.option("--generation-prompt", is_flag=True, help="End with what asks the model for its next turn.")
@click.option("--continue-final-message", is_flag=True, help="End where the final message's content ends.")
@click.option("--set", "settings", metavar="NAME=JSON", multiple=True, help="A template kwarg; may be repeated.")
@click.option("--clock", metavar="ISO", help="What time the template is told that it is.")
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id: shows tokens.")
@click.option("--straddle", type=click.Choice(STRADDLE), help="What becomes of a token across a span's edge.")
@click.option("--control-tokens", type=click.Choice(CONTROL_TOKENS), help="What becomes of those in messages.")
@click.option("--mask", type=click.Choice(MASK), help="What is trained.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="By default rich in a terminal, else text.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file; its suffix chooses the format.")
def render(
    file: str,
    template: str | None,
    retention: str | None,
    variant: str | None,
    shape: Any,
    generation_prompt: bool,
    continue_final_message: bool,
    settings: tuple[str, ...],
    clock: str | None,
    tokenizer: str | None,
    straddle: str | None,
    control_tokens: str | None,
    mask: str | None,
    form: Format | None,
    output: str | None,
) -> None:
    """Render the conversations of the file CONV (- is stdin), and see what the model samples.

    Without -t the template is the one that the file names, else the one of [tool.chattmpl] in pyproject.toml, else
    hybrid; a line on stderr says which.
    """
    if generation_prompt and continue_final_message:
        raise UsageError("--generation-prompt and --continue-final-message exclude each other", hint="drop one")
    encoding = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
    encoding = {name: value for name, value in encoding.items() if value is not None}
    if encoding and tokenizer is None:
        raise UsageError(f"--{next(iter(encoding)).replace('_', '-')} needs --tokenizer", hint="try --tokenizer demo")
    kwargs = template_kwargs(settings)
    kwargs |= {"add_generation_prompt": generation_prompt, "continue_final_message": continue_final_message}
    kwargs["clock"] = moment(clock)
    path = None if file == "-" else Path(file)
    templates = Templates(template, path, retention, variant)
    named, several = _named(conversations(file, shape), "stdin" if path is None else path.name)
    items = _items(named, templates, kwargs, tokenizer, encoding)
    # Nothing is written before the first conversation is rendered: what is wrong with it leaves no half a page.
    items = itertools.chain(list(itertools.islice(items, 1)), items)
    with _opened(output) as out:
        writer = WRITERS[form or _format(output)](out, title=f"{file} in chattmpl", several=several)
        for count, item in enumerate(items):
            if count == 1:
                # See `chattmpl.cli.main`: what follows may be long. What is there will stay, and need not be looked at.
                gc.freeze()
                gc.enable()
            writer.write(item)
        writer.close()


def _named(found: Iterator[Conversation], name: str) -> tuple[Iterator[tuple[str, Conversation]], bool]:
    """Each conversation with its name, and whether there are several."""
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
    loaded = None
    if tokenizer is not None:
        from chattmpl.encode import encode, load_tokenizer

        loaded = load_tokenizer(tokenizer)
    for name, conversation in named:
        try:
            rendering = templates.of(conversation).render(conversation, **kwargs)
            encoding = None if loaded is None else encode(rendering, loaded, **options)
        except ChatTmplError as error:
            if name.endswith("]"):
                error.message = f"{name}: {error.message}"
            raise
        yield Item(rendering, encoding, name, tokenizer, kwargs["add_generation_prompt"])


def _format(output: str | None) -> Format:
    if output is not None and output != "-":
        return _BY_SUFFIX.get(Path(output).suffix.lower(), "text")
    return "rich" if sys.stdout.isatty() else "text"


@contextmanager
def _opened(output: str | None) -> Iterator[IO[bytes]]:
    if output is None or output == "-":
        yield sys.stdout.buffer
        return
    from chattmpl.template.writer import replacing

    with replacing(Path(output)) as file:
        yield file
