"""Encoding of a rendering: its tokens, and the mask of the trained ones."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn, TypedDict

from chattmpl.encode.encoding import Encoding, Escape, Straddle
from chattmpl.encode.mask import (
    SpanField,
    SpanIndex,
    find_straddles,
    message_index,
    range_edges,
    token_mask,
    trained_ranges,
)
from chattmpl.encode.offsets import Ranges
from chattmpl.encode.tokenizer import AddedTokenMatch, Reencoding, TextTokenizer, find_added_tokens
from chattmpl.encode.tokenizer_loader import load_tokenizer
from chattmpl.errors import EncodeError
from chattmpl.options import ControlTokenChoice, MaskChoice, Side, StraddleChoice, check_options
from chattmpl.source import Place, Source
from chattmpl.template.template import Rendering, unknown_tokens_error


class EncodeOptions(TypedDict, total=False):
    """The options of `encode`, documented there."""

    straddle: StraddleChoice
    control_tokens: ControlTokenChoice
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
    straddle: StraddleChoice = "include",
    control_tokens: ControlTokenChoice = "escape",
    mask: MaskChoice = "all",
    max_length: int | None = None,
    truncation_side: Side = "right",
    pad_to: int | None = None,
    padding_side: Side = "right",
    pad_token_id: int | None = None,
    token_ids: Sequence[int] | None = None,
) -> Encoding:
    """Encode a rendering, and mask the tokens that the model will be asked to sample.

    No token is added to the text of the template, and the tokenizer's own truncation and padding settings are ignored.
    A token is trained if it overlaps a trained range of characters.

    Args:
        rendering: the result of ``Template.render``.
        tokenizer: a ``tokenizers.Tokenizer``, a transformers tokenizer, the path of a ``tokenizer.json`` or of a model
            directory, a hub id, or ``"demo"``.
        straddle: the treatment of a token across the edge of a generated span: ``include`` trains it, ``exclude`` does
            not, ``error`` refuses it, ``split`` encodes prompt and generated text separately, as inference does.
        control_tokens: the treatment of a control token in text that the template did not write: ``escape`` encodes it
            as ordinary text and lists it in ``escaped``, ``error`` refuses it, ``allow`` keeps it a control token.
            Control tokens are the special added tokens, those written between delimiters, such as ``<mask>``, and
            those that the template writes; not white space, words and tags of HTML.
        mask: the trained text: ``all`` generated spans, those of the ``last`` assistant message, those of messages with
            ``train: true`` or a positive weight (``flags``), or ``no-reasoning``: all without the reasoning. A message
            with ``train: false`` or ``weight: 0`` is never trained.
        max_length: maximum number of tokens; those cut off at ``truncation_side`` are counted in ``truncated``.
        truncation_side: the side at which tokens are cut off.
        pad_to: minimum number of tokens; padding is untrained and outside the attention mask.
        padding_side: the side at which padding is added.
        pad_token_id: the padding token, if the tokenizer names none.
        token_ids: the tokens of the text if it was encoded before, as by ``TextTokenizer.encode_batch``.

    Raises:
        EncodeError: the tokenizer cannot be found or used, the text cannot be encoded, or an option set to ``error``
            applies.
        TemplateError: a special token was not known when the conversation was rendered.
        UsageError: an argument has an invalid value.
    """
    check_options(straddle=straddle, control_tokens=control_tokens, mask=mask, max_length=max_length, pad_to=pad_to)
    check_options(truncation_side=truncation_side, padding_side=padding_side)
    if rendering.unknown_tokens:
        raise unknown_tokens_error(rendering.template.name, rendering.unknown_tokens)
    adapted, index = load_tokenizer(tokenizer), SpanIndex(rendering)
    trained = trained_ranges(index, rendering.conversation, mask)
    edges = range_edges(index.generated, trained)
    cuts = edges if straddle == "split" else ()
    ids, ranges, escaped = _tokens(adapted, index, token_ids, rendering.template.source, control_tokens, cuts)
    straddles = tuple(find_straddles(index.text, ranges, edges))
    if straddles and straddle == "error":
        _refuse_straddle(index.text, straddles[0])
    encoding = Encoding(
        text=index.text,
        input_ids=ids,
        assistant_masks=token_mask(ranges, trained, straddle),
        attention_mask=[1] * len(ids),
        message_index=message_index(ranges, index.turns),
        starts_c=ranges[0],
        ends_c=ranges[1],
        straddles=straddles,
        escaped=escaped,
        unknown=tuple(adapted.unknown_ranges(index.text, ids, ranges)),
    )
    if max_length is not None:
        encoding = encoding.cut(max_length, truncation_side)
    if pad_to is not None and len(encoding) < pad_to:
        encoding = encoding.pad(pad_to, _pad_id(adapted, tokenizer, pad_token_id), padding_side)
    return encoding


def follows_prompt(rendering: Rendering, ids: Sequence[int], tokenizer: object, options: EncodeOptions) -> bool:
    """Return whether the tokens of a rendering before its last answer are those of the prompt by itself."""
    starts = [start for start, _ in rendering.generated]
    if len(starts) < 2:
        return True
    options = {**options, "straddle": "include", "mask": "all"}
    sent = encode(rendering.cut(starts[-1]), tokenizer, **options).input_ids
    return sent == list(ids[: len(sent)])


def _tokens(
    tokenizer: TextTokenizer,
    index: SpanIndex,
    known: Sequence[int] | None,
    source: str,
    control_tokens: ControlTokenChoice,
    edges: Iterable[int],
) -> tuple[list[int], Ranges, tuple[Escape, ...]]:
    """Return the tokens, their ranges and the escaped control tokens; re-encode only if the tokens must change."""
    text, data = index.text, _utf8(index)
    ids = tokenizer.encode(text) if known is None else list(known)
    ranges = tokenizer.locate(text, data, ids)
    added = find_added_tokens(tokenizer, text, ids, ranges)
    foreign = [] if control_tokens == "allow" else list(_foreign_control_tokens(tokenizer, index, added, source))
    if foreign and control_tokens == "error":
        _refuse_control_token(text, *foreign[0])
    edges = list(edges)
    undone = {match.token_t for match, _ in foreign} | {match.token_t for match in added if _is_cut(match, edges)}
    keep = [match for match in added if match.token_t not in undone]
    cuts = [edge for edge in edges if 0 < edge < len(text) and not _is_token_edge(tokenizer, keep, edge)]
    if undone or cuts:
        undo = [match for match in added if match.token_t in undone]
        ids, ranges = tokenizer.reencode(Reencoding(text, data, ids, keep, undo, cuts))
        find_added_tokens(tokenizer, text, ids, ranges)
    escaped = (Escape(match.start, match.end, text[match.start : match.end], *field) for match, field in foreign)
    return ids, ranges, tuple(escaped)


def _foreign_control_tokens(
    tokenizer: TextTokenizer, index: SpanIndex, added: Sequence[AddedTokenMatch], source: str
) -> Iterator[tuple[AddedTokenMatch, SpanField]]:
    """Yield the control tokens that the template did not write, each with a field that contributes to it."""
    fields = {match.token_t: index.foreign_field(match.start, match.end) for match in added}
    written = {match.token_id for match in added if fields[match.token_t] is None}
    control = tokenizer.control_ids(source) | written
    for match in added:
        field = fields[match.token_t]
        if field is not None and match.token_id in control:
            yield match, field


def _is_cut(match: AddedTokenMatch, edges: Sequence[int]) -> bool:
    place = bisect.bisect_right(edges, match.start)
    return place < len(edges) and edges[place] < match.end


def _is_token_edge(tokenizer: TextTokenizer, keep: Sequence[AddedTokenMatch], edge: int) -> bool:
    """Return whether a control token that strips no white space already separates the two sides of an edge."""
    after = bisect.bisect_left(keep, edge, key=lambda match: match.start)
    near = keep[max(0, after - 1) : after + 1]
    return any(edge in (match.start, match.end) and not tokenizer.added[match.token_id].strips for match in near)


def _utf8(index: SpanIndex) -> bytes:
    try:
        return index.text.encode()
    except UnicodeEncodeError as error:
        code_point = f"U+{ord(index.text[error.start]):04X}"
        raise EncodeError(
            f"{index.field(error.start)} contains half a surrogate pair ({code_point}), which is not a character",
            place=_place(index.text, error.start, error.start + 1),
            hint="the data was cut inside a character, or decoded incorrectly",
        ) from None


def _place(text: str, start: int, end: int) -> Place:
    # Excerpts with a lone surrogate cannot be printed.
    return Place(Source(text.encode(errors="replace").decode(), "rendered text"), start, end)


def _refuse_control_token(text: str, match: AddedTokenMatch, field: SpanField) -> NoReturn:
    raise EncodeError(
        f"{field} contains the control token {text[match.start : match.end]!r}",
        place=_place(text, match.start, match.end),
        hint="control_tokens='escape' encodes it as ordinary text",
    )


def _refuse_straddle(text: str, straddle: Straddle) -> NoReturn:
    raise EncodeError(
        f"the token {straddle.text!r} straddles the {straddle.side} of a generated span",
        place=_place(text, straddle.start_c, straddle.end_c),
        hint="choose with straddle='include' or 'exclude' whether it is trained; 'split' encodes the two sides apart",
    )


def _pad_id(adapted: TextTokenizer, tokenizer: object, given: int | None) -> int:
    found = adapted.pad_id(tokenizer) if given is None else given
    if found is None:
        raise EncodeError("the tokenizer names no padding token", hint="pass its id as pad_token_id")
    return found
