"""Rendering × tokenizer → Encoding: which tokens, and which of them are trained."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NoReturn, TypedDict, get_args

from chattmpl.encode import alignment as placing
from chattmpl.encode.alignment import Straddling
from chattmpl.encode.encoding import Encoding, Escape, Straddle
from chattmpl.encode.mask import MaskChoice, trained_pieces
from chattmpl.encode.offsets import Ranges
from chattmpl.encode.span_index import Field, Spans
from chattmpl.encode.tokenizer import Hit, TextTokenizer, find_hits
from chattmpl.encode.tokenizer_loader import load_tokenizer
from chattmpl.errors import EncodeError, UsageError, did_you_mean
from chattmpl.source import Place, Source
from chattmpl.template.template import Rendering

ControlTokens = Literal["escape", "allow", "error"]
Side = Literal["right", "left"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "straddle": get_args(Straddling),
    "control_tokens": get_args(ControlTokens),
    "mask": get_args(MaskChoice),
    "truncation_side": get_args(Side),
    "padding_side": get_args(Side),
}


class EncodeOptions(TypedDict, total=False):
    """The options of `encode`, which documents them."""

    straddle: Straddling
    control_tokens: ControlTokens
    mask: MaskChoice
    max_length: int | None
    truncation_side: Side
    pad_to: int | None
    padding_side: Side
    pad_token_id: int | None


def encode(
    rendering: Rendering,
    tokenizer: object,
    *,
    straddle: Straddling = "include",
    control_tokens: ControlTokens = "escape",
    mask: MaskChoice = "all",
    max_length: int | None = None,
    truncation_side: Side = "right",
    pad_to: int | None = None,
    padding_side: Side = "right",
    pad_token_id: int | None = None,
) -> Encoding:
    """Encodes a rendering, and masks the tokens that the model will be asked to sample.

    No token is added to what the template wrote, and nothing that the tokenizer is set to (truncation, padding) bites.
    A token is trained if it overlaps a trained range of characters.

    Args:
        rendering: what ``Template.render`` returned.
        tokenizer: a ``tokenizers.Tokenizer``, a transformers tokenizer, the path of a ``tokenizer.json`` or of a model
            directory, a hub id, or ``"demo"``.
        straddle: what becomes of a token across the edge of a generated span: ``include`` trains it, ``exclude`` does
            not, ``error`` refuses it, ``split`` encodes prompt and generated text apart, as inference does.
        control_tokens: what becomes of a control token in a text that is not the template's own: ``escape`` encodes
            it as ordinary text and lists it in ``escaped``, ``error`` refuses it, ``allow`` lets it through. Control
            tokens are the special added tokens, those between ``<|`` and ``|>``, and those that the template writes.
        mask: what is trained: ``all`` generated spans, those of the ``last`` assistant message, those of messages with
            ``train: true`` or a positive weight (``flags``), or all ``no-reasoning``. A message with ``train: false``
            or ``weight: 0`` is never trained.
        max_length: most tokens; those cut away at ``truncation_side`` are counted in ``truncated``.
        truncation_side: where tokens are cut away.
        pad_to: fewest tokens; padding is untrained and outside the attention mask.
        padding_side: where padding goes.
        pad_token_id: what to pad with, if the tokenizer does not say.

    Raises:
        EncodeError: if the tokenizer cannot be found or used, the text cannot be encoded, or ``error`` was asked for.
        UsageError: if an argument has a value that does not exist.
    """
    chosen = {"straddle": straddle, "control_tokens": control_tokens, "mask": mask}
    _check({**chosen, "truncation_side": truncation_side, "padding_side": padding_side}, max_length, pad_to)
    adapted, spans = load_tokenizer(tokenizer), Spans(rendering)
    trained = trained_pieces(spans, rendering.conversation, mask)
    edges = placing.edges(spans.generated, trained)
    cuts = edges if straddle == "split" else ()
    ids, ranges, escaped = _tokens(adapted, spans, rendering.template.source, control_tokens, cuts)
    straddles = tuple(placing.straddles(spans.text, ranges, edges))
    if straddles and straddle == "error":
        _refuse_straddle(spans.text, straddles[0])
    encoding = Encoding(
        text=spans.text,
        input_ids=ids,
        assistant_masks=placing.mask(ranges, trained, straddle),
        attention_mask=[1] * len(ids),
        message_index=placing.index_of(ranges, spans.turns),
        starts_c=ranges[0],
        ends_c=ranges[1],
        straddles=straddles,
        escaped=escaped,
    )
    if max_length is not None:
        encoding = encoding.cut(max_length, truncation_side)
    if pad_to is not None and len(encoding) < pad_to:
        encoding = encoding.pad(pad_to, _pad_id(adapted, tokenizer, pad_token_id), padding_side)
    return encoding


def _tokens(
    tokenizer: TextTokenizer, spans: Spans, source: str, control_tokens: ControlTokens, edges: Iterable[int]
) -> tuple[list[int], Ranges, tuple[Escape, ...]]:
    """The tokens, their ranges and what was escaped: the tokenizer's own, unless there is something to change."""
    text, data = spans.text, _utf8(spans)
    ids = tokenizer.encode(text)
    ranges = tokenizer.locate(text, data, ids)
    hits = find_hits(tokenizer, text, ids, ranges)
    forged = [] if control_tokens == "allow" else list(_forged(tokenizer, spans, hits, source))
    if forged and control_tokens == "error":
        _refuse(text, *forged[0])
    edges = list(edges)
    undone = {hit.token_t for hit, _ in forged} | {hit.token_t for hit in hits if _cut_through(hit, edges)}
    keep = [hit for hit in hits if hit.token_t not in undone]
    cuts = [edge for edge in edges if 0 < edge < len(text) and not _isolated(tokenizer, keep, edge)]
    if undone or cuts:
        undo = [hit for hit in hits if hit.token_t in undone]
        ids, ranges = tokenizer.recode(text, data, ids, keep, undo, cuts)
        find_hits(tokenizer, text, ids, ranges)
    escaped = (Escape(hit.start, hit.end, text[hit.start : hit.end], *field) for hit, field in forged)
    return ids, ranges, tuple(escaped)


def _forged(tokenizer: TextTokenizer, spans: Spans, hits: Sequence[Hit], source: str) -> Iterator[tuple[Hit, Field]]:
    """The control tokens that are not the template's own, with the field that has a part in each."""
    foreign = {hit.token_t: spans.foreign(hit.start, hit.end) for hit in hits}
    written = {hit.token_id for hit in hits if foreign[hit.token_t] is None}
    control = tokenizer.control_ids(source) | written
    for hit in hits:
        field = foreign[hit.token_t]
        if field is not None and hit.token_id in control:
            yield hit, field


def _cut_through(hit: Hit, edges: Sequence[int]) -> bool:
    place = bisect.bisect_right(edges, hit.start)
    return place < len(edges) and edges[place] < hit.end


def _isolated(tokenizer: TextTokenizer, keep: Sequence[Hit], edge: int) -> bool:
    """Whether a control token that takes no white space along already keeps the two sides of an edge apart."""
    after = bisect.bisect_left(keep, edge, key=lambda hit: hit.start)
    near = keep[max(0, after - 1) : after + 1]
    return any(edge in (hit.start, hit.end) and not tokenizer.added[hit.token_id].strips for hit in near)


def _utf8(spans: Spans) -> bytes:
    try:
        return spans.text.encode()
    except UnicodeEncodeError as error:
        code_point = f"U+{ord(spans.text[error.start]):04X}"
        raise EncodeError(
            f"{spans.field(error.start)} holds half a surrogate pair ({code_point}), which is no character",
            place=_place(spans.text, error.start, error.start + 1),
            hint="the data was cut inside a character, or decoded wrongly",
        ) from None


def _place(text: str, start: int, end: int) -> Place:
    # a lone surrogate cannot be printed either
    return Place(Source(text.encode(errors="replace").decode(), "rendered text"), start, end)


def _refuse(text: str, hit: Hit, field: Field) -> NoReturn:
    raise EncodeError(
        f"{field} holds the control token {text[hit.start : hit.end]!r}",
        place=_place(text, hit.start, hit.end),
        hint="control_tokens='escape' encodes it as ordinary text",
    )


def _refuse_straddle(text: str, straddle: Straddle) -> NoReturn:
    raise EncodeError(
        f"the token {straddle.text!r} goes across the {straddle.side} of a generated span",
        place=_place(text, straddle.start_c, straddle.end_c),
        hint="straddle='include' or 'exclude' decides whether it is trained, 'split' encodes the two sides apart",
    )


def _pad_id(adapted: TextTokenizer, tokenizer: object, chosen: int | None) -> int:
    found = adapted.pad_id(tokenizer) if chosen is None else chosen
    if found is None:
        raise EncodeError("this tokenizer names no padding token", hint="give its id as pad_token_id")
    return found


def _check(chosen: dict[str, str], max_length: int | None, pad_to: int | None) -> None:
    for name, value in chosen.items():
        if value not in _CHOICES[name]:
            known = ", ".join(map(repr, _CHOICES[name]))
            hint = did_you_mean(value, _CHOICES[name]) if isinstance(value, str) else None
            raise UsageError(f"{name} cannot be {value!r}: it is one of {known}", hint=hint)
    for name, length in (("max_length", max_length), ("pad_to", pad_to)):
        if length is not None and length < 1:
            raise UsageError(f"{name} is a number of tokens, at least 1, not {length}")
