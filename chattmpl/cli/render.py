"""``chattmpl render``."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import click

from chattmpl.cli.inputs import Templates, count_records, records, tokenizer_of
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
from chattmpl.cli.output import choose_format, collect_garbage, note, option_of
from chattmpl.errors import ChatTmplError, UsageError
from chattmpl.report.writers import WRITERS, Format, Item

if TYPE_CHECKING:
    from chattmpl.conversation.files import Record
    from chattmpl.conversation.models import Conversation
    from chattmpl.conversation.notes import ReadingNote
    from chattmpl.options import RowChoice
    from chattmpl.template.template import Rendering, Template

FORMATS: tuple[Format, ...] = get_args(Format)

_BY_SUFFIX: dict[str, Format] = {".html": "html", ".htm": "html", ".json": "json", ".jsonl": "json"}


@command(
    "Using templates",
    "chattmpl render conv.json -t path/to/model --tokenizer path/to/model",
    "chattmpl render chats.jsonl -t qwen3 --row 1 --tokenizer demo",
    "chattmpl render conv.json -t qwen3 --format html -o conv.html",
)
@click.argument("file", metavar="CONV")
@template_options
@SHAPE
@library_option("arguments")
@click.option(
    "--row",
    type=click.IntRange(0),
    metavar="N",
    help="Row to render, from 0. Default: all that --limit allows.",
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Number of rows to render. Default: all, or 3 in a terminal."
)
@click.option("--generation-prompt", is_flag=True, help="End with the generation prompt.")
@click.option("--continue-final-message", is_flag=True, help="End with the content of the final message.")
@KWARGS
@CLOCK
@tokenizer_option("Tokenizer for showing tokens and the mask", "none")
@library_option("rows", unset="the whole conversation, marked by the template's generation tags")
@library_option("straddle", unset="include, or split with --rows")
@library_option("control_tokens", unset="escape")
@library_option("mask", unset="all")
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
    arguments: Any,
    row: int | None,
    limit: int | None,
    generation_prompt: bool,
    continue_final_message: bool,
    template_kwargs: dict[str, Any],
    clock: datetime | None,
    tokenizer: str | None,
    rows: RowChoice | None,
    straddle: str | None,
    control_tokens: str | None,
    mask: str | None,
    form: Format | None,
    output: str | None,
) -> None:
    """Render conversations and show the text that the model samples.

    CONV is a .json or .jsonl file, any other data file or folder that chattmpl encode reads, or - for stdin. Without
    -t, the template is the one named in the file, else the one of [tool.chattmpl] in pyproject.toml, else hybrid; a
    line on stderr names it.
    """
    if generation_prompt and continue_final_message:
        raise UsageError(
            "--generation-prompt and --continue-final-message are mutually exclusive", hint="remove one of them"
        )
    if row is not None and limit is not None:
        raise UsageError("--row and --limit are mutually exclusive", hint="remove one of them")
    if rows is not None and (generation_prompt or continue_final_message):
        other = "--generation-prompt" if generation_prompt else "--continue-final-message"
        raise UsageError(f"--rows and {other} are mutually exclusive", hint="remove one of them")
    encoding = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
    encoding = {name: value for name, value in encoding.items() if value is not None}
    if encoding and tokenizer is None:
        raise UsageError(f"{option_of(next(iter(encoding)))} needs --tokenizer", hint="as in --tokenizer demo")
    if rows is not None:
        encoding.setdefault("straddle", "split")
    kwargs = template_kwargs | {
        "add_generation_prompt": generation_prompt,
        "continue_final_message": continue_final_message,
        "clock": clock,
    }
    path = None if file == "-" else Path(file)
    templates.file = path
    chosen = form or _format(output)
    printed = output in (None, "-")
    most = limit or (_FEW if chosen == "rich" and printed else None)
    seen: Counter[ReadingNote] = Counter()
    name = "stdin" if path is None else path.name
    named, several = _named(_chosen(records(file, shape, arguments), file, row, most), name, row)
    items = _items(named, templates, kwargs, tokenizer, encoding, rows, seen)
    # Nothing is written before the first conversation is rendered, so that an error in it leaves no partial output.
    items = itertools.chain(list(itertools.islice(items, 1)), _collecting(items))
    tally = _Tally(tokenizer is not None)
    if form is None and chosen == "text" and printed:
        items = map(tally.add, items)
    with _opened(output) as out:
        WRITERS[chosen](out, items, f"{file} in chattmpl", several or rows in ("auto", "unroll"))
        out.flush()
    for found, count in seen.items():
        note(found.message(count))
    for text in tally.notes():
        note(text)


class _Tally:
    """Counts of what plain text does not show: the generated or trained part, and lost fields."""

    def __init__(self, tokens: bool) -> None:
        self._tokens = tokens
        self._all = self._marked = 0
        self._lost: Counter[tuple[str, str]] = Counter()
        self._warnings: dict[str, None] = {}

    def add(self, item: Item) -> Item:
        """Count an item, and return it."""
        rendering, encoding = item.rendering, item.encoding
        if encoding is not None:
            self._all, self._marked = self._all + len(encoding.input_ids), self._marked + sum(encoding.assistant_masks)
        else:
            self._all += len(rendering.text)
            self._marked += sum(end - start for start, end in rendering.generated)
        if rendering.lost:
            from chattmpl.diagnostic import without_indices
            from chattmpl.template.template import why_lost

            for path in rendering.lost:
                self._lost[without_indices(path), why_lost(rendering, path) or ""] += 1
        if rendering.generated and encoding is None:
            return item
        from chattmpl.report.picture import warnings

        self._warnings.update({f"{head}: {details[0]}": None for head, details in warnings(rendering, encoding)})
        return item

    def notes(self) -> Iterator[str]:
        """Yield the counts as notes."""
        if self._marked:
            what = "tokens are trained" if self._tokens else "characters are sampled by the model"
            yield f"{self._marked:,} of {self._all:,} {what}; --format rich, html or json shows which"
        for (path, why), number in self._lost.items():
            times = f", {number} times" if number > 1 else ""
            yield f"{path} is not rendered{f' ({why})' if why else ''}{times}"
        yield from self._warnings


_FEW = 3
"""Number of rows that are shown in a terminal."""


def _chosen(found: Iterator[Record], file: str, row: int | None, most: int | None) -> Iterator[Record]:
    """Yield the chosen record, or the first ones with a note on the others."""
    if row is not None:
        record = next(itertools.islice(found, row, None), None)
        if record is None:
            raise UsageError(f"{file} has no row {row}", option="row", hint="rows are numbered from 0")
        yield record
        return
    yield from itertools.islice(found, most)
    if next(found, None) is not None:
        count = count_records(file)
        rest = "further rows are" if count is None or most is None else f"{count - most:,} more rows are"
        note(f"{rest} not shown; choose one with --row N, or more with --limit N")


_Named = Iterator[tuple[str, "Conversation", tuple["ReadingNote", ...]]]


def _named(found: Iterator[Record], name: str, row: int | None) -> tuple[_Named, bool]:
    """Return each conversation with its name and the notes on it, and whether there are several."""
    first = list(itertools.islice(found, 2))
    if row is None and len(first) > 1:
        every = enumerate(itertools.chain(first, found))
        return ((f"{name}[{index}]", *record()) for index, record in every), True
    return ((name if row is None else f"{name}[{row}]", *record()) for record in first), False


def _concerning(notes: Iterable[ReadingNote], template: Template) -> list[ReadingNote]:
    from chattmpl.conversation.notes import NoteKind

    # Nothing is trained here, and the picture shows what is lost. Most conversations have no other note, and need no
    # further import.
    known = {NoteKind.EARLIER_ANSWERS, *([NoteKind.FIELD] if template.tool_use is None else [])}
    notes = [note for note in notes if note.kind not in known]
    if not notes:
        return []
    from chattmpl.data.reading import printed_notes

    return [printed for note in notes for printed in printed_notes(note, template)]


def _items(
    named: _Named,
    templates: Templates,
    kwargs: dict[str, Any],
    tokenizer: str | None,
    options: Any,
    rows: RowChoice | None,
    seen: Counter[ReadingNote],
) -> Iterator[Item]:
    loaded = tokenizer_of(tokenizer)
    merges = False
    if loaded is not None:
        from chattmpl.encode import encode, follows_prompt

    for name, conversation, notes in named:
        try:
            template = templates.of(conversation)
            template.require_tokens({**(conversation.chat_template_kwargs or {}), **kwargs})
            shown = _renderings(template, conversation, kwargs, rows, options.get("mask", "all"))
            encodings = [None if loaded is None else encode(rendering, loaded, **options) for rendering in shown]
            if loaded is not None and rows == "auto" and options["straddle"] == "split" and not merges:
                pairs = zip(shown, encodings, strict=True)
                merges = not all(follows_prompt(each, made.input_ids, loaded, options) for each, made in pairs if made)
                if merges:
                    note(f"{tokenizer} merges prompts with answers, for which chattmpl encode writes further rows")
        except ChatTmplError as error:
            if name.endswith("]"):
                error.message = f"{name}: {error.message}"
            raise
        if notes:
            seen.update(_concerning(notes, template))
        for number, (rendering, encoding) in enumerate(zip(shown, encodings, strict=True), 1):
            heading = f"{name}, row {number} of {len(shown)}" if len(shown) > 1 else name
            yield Item(rendering, encoding, heading, tokenizer, kwargs["add_generation_prompt"])


def _renderings(
    template: Template, conversation: Conversation, kwargs: dict[str, Any], rows: RowChoice | None, mask: str
) -> list[Rendering]:
    """Return the rendering of a conversation, or of each of the rows that are made of it."""
    if rows is None:
        return [template.render(conversation, **kwargs)]
    from chattmpl.data.row_facts import planner_of
    from chattmpl.data.sampled_rows import row_renderings

    rest = {name: kwargs[name] for name in kwargs.keys() - {"add_generation_prompt", "continue_final_message", "clock"}}
    clock = kwargs["clock"] or datetime.now()
    return row_renderings(planner_of(template, rows), template, conversation, clock, rest, mask)


def _collecting(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items after the first with the garbage collector on; all objects up to now stay for good."""
    collect_garbage()
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
