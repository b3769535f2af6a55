"""The exact path of the encoder: rendering with provenance, and encoding, one conversation at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from chattmpl.budget import Runaways
from chattmpl.conversation.models import Conversation
from chattmpl.data.fast.comparison import ExactResult, NotCompared
from chattmpl.data.fast.markers import merge_touching
from chattmpl.data.row_facts import new_planner
from chattmpl.data.rows import Rejection, Row, attempt, merge_rows
from chattmpl.data.sampled_rows import RowPlanner, row_renderings, trained_turns
from chattmpl.encode import EncodeOptions, encode, follows_prompt
from chattmpl.encode.tokenizer import TextTokenizer
from chattmpl.template.template import Rendering, Template

_MERGED = 8
"""Number of tokens by which the end of a text may differ where a tokenizer merges it with what follows."""


@dataclass(frozen=True)
class ExactPath:
    """The exact path: rendering with provenance, and encoding, with one set of options.

    Attributes:
        template, tokenizer: render and encode.
        now: the time of ``strftime_now``.
        kwargs: template kwargs, which override those of the row.
        options: of `chattmpl.encode.encode`.
        keep: optional attributes of a row to fill.
        planner: plans the rows; None if each conversation is one row that the generation tags mark.
        splits: true if each answer must follow the tokens that are sent to the model.
        runaways: the renders that exceeded the budget.
    """

    template: Template
    tokenizer: TextTokenizer
    now: Callable[[], datetime]
    kwargs: dict[str, Any]
    options: EncodeOptions
    keep: frozenset[str]
    planner: RowPlanner | None
    splits: bool
    runaways: Runaways = field(default_factory=Runaways)

    def renderings(self, record: Any, skip: Sequence[int] = (), planner: RowPlanner | None = None) -> list[Rendering]:
        """Render the rows of a record; see `RowPlanner.plan`.

        Raises:
            ChatTmplError: it cannot be read or rendered.
            RunawayError: the template exceeds its budget on row after row.
        """
        planner = planner or (new_planner(self.template) if self.planner is None and skip else self.planner)
        conversation, mask = Conversation.coerce(record), self.options["mask"]
        return row_renderings(planner, self.template, conversation, self.now, self.kwargs, mask, skip, self.runaways)

    def results(self, record: Any) -> list[ExactResult]:
        """Return the results for a comparison; raise as `renderings` and `chattmpl.encode.encode`."""
        rendered = self.renderings(record)
        rows = [self._row(rendering, None) for rendering in rendered]
        if not self._are_sent(rendered, rows):
            raise NotCompared("the tokenizer merges characters of a prompt and an answer")
        return [self._result(*pair) for pair in zip(rendered, rows, strict=True)]

    def _result(self, rendering: Rendering, row: Row) -> ExactResult:
        generated = merge_touching(rendering.generated)
        return ExactResult(rendering.text, generated, row.input_ids.tolist(), row.mask.tolist())

    def encode(self, records: Sequence[Any]) -> list[list[Row] | Rejection]:
        """Return the rows or a rejection for each record, which may be one already; the texts are encoded together."""
        rendered = [each if isinstance(each, Rejection) else attempt(self.renderings, each) for each in records]
        texts = [row.text for each in rendered if not isinstance(each, Rejection) for row in each]
        known = attempt(self.tokenizer.encode_batch, texts)
        # If one text cannot be encoded, none was, and each is encoded by itself.
        ids = iter(() if isinstance(known, Rejection) else known)
        results: list[list[Row] | Rejection] = []
        for record, each in zip(records, rendered, strict=True):
            if isinstance(each, Rejection):
                results.append(each)
            else:
                results.append(attempt(self._rows, record, each, [next(ids, None) for _ in each]))
        return results

    def _rows(self, record: Any, rendered: Sequence[Rendering], token_ids: Sequence[list[int] | None]) -> list[Row]:
        """Return the rows of a record; other ones if the tokenizer merges characters of a prompt and a completion.

        An earlier turn of a row is then sent to the model in other tokens than it was sampled in, so that a later turn
        needs another row.
        """
        rows = list(map(self._row, rendered, token_ids))
        if self._are_sent(rendered, rows):
            return rows
        single = self.renderings(record, planner=new_planner(self.template, "unroll"))
        return merge_rows([self._row(rendering, None) for rendering in single])

    def _are_sent(self, rendered: Sequence[Rendering], rows: Sequence[Row]) -> bool:
        """Return whether each answer follows the tokens that are sent to the model, if it must."""
        return not self.splits or all(
            follows_prompt(rendering, row.input_ids.tolist(), self.tokenizer, self.options)
            for rendering, row in zip(rendered, rows, strict=True)
        )

    def fitting(self, record: Any, max_length: int) -> tuple[list[Row], list[int]]:
        """See `Encoder.fitting_rows`."""
        conversation = Conversation.coerce(record)
        turns = trained_turns(conversation.messages, self.options["mask"])
        conversation = conversation.with_messages(conversation.messages[: turns[-1] + 1 if turns else None])
        skip: list[int] = []
        while True:
            rendered = self.renderings(conversation, skip)
            rows = [self._row(rendering, None) for rendering in rendered]
            long = [pair for pair in zip(rendered, rows, strict=True) if len(pair[1]) > max_length]
            if not long:
                return rows, sorted(skip)
            slack = 0 if self.options["straddle"] == "split" else _MERGED
            for each, row in long:
                # The beginning of a row that ends with an earlier turn has the same tokens, so these turns are too far.
                turns = [
                    turn
                    for turn in dict.fromkeys(span.turn for span in each.spans if span.generated)
                    if turn is not None
                ]
                ends = np.flatnonzero(row.mask > np.append(row.mask[1:], 0)) + 1
                far = [turn for turn, end in zip(turns, ends, strict=False) if end > max_length + slack]
                last = len(each.conversation.messages) - 1
                skip += far if len(turns) == len(ends) and last in far else [last]

    def _row(self, rendering: Rendering, token_ids: list[int] | None) -> Row:
        encoding = encode(rendering, self.tokenizer, **self.options, token_ids=token_ids)
        row = Row(
            np.array(encoding.input_ids, dtype=np.int32),
            np.array(encoding.assistant_masks, dtype=np.uint8),
            len({straddle.edge_c for straddle in encoding.straddles}),
            len(encoding.escaped),
            len(encoding.unknown),
        )
        if "text" in self.keep:
            row.text = rendering.text
        if "generated" in self.keep:
            row.generated = rendering.generated
        if "message_index" in self.keep:
            index = [-1 if message is None else message for message in encoding.message_index]
            row.message_index = np.array(index, dtype=np.int32)
        return row
