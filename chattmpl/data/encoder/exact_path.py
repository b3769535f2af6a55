"""The exact path: render with provenance, encode, one conversation at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from chattmpl.conversation.models import Conversation
from chattmpl.conversation.shapes import parse_record
from chattmpl.data.encoder.row import Row
from chattmpl.encode import EncodeOptions, encode
from chattmpl.encode.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from chattmpl.encode import Encoding
    from chattmpl.template.template import Rendering, Template


@dataclass(frozen=True)
class ExactPath:
    """``Template.render(…).encode(…)`` with one set of options.

    Attributes:
        template, tokenizer: what to render and encode with.
        now: what ``strftime_now`` tells.
        kwargs: template kwargs, over those of the row.
        options: of `chattmpl.encode.encode`.
        keep: which of the optional attributes of a row to fill.
    """

    template: Template
    tokenizer: TextTokenizer
    now: Callable[[], datetime]
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: EncodeOptions = field(default_factory=EncodeOptions)
    keep: frozenset[str] = frozenset()

    def render_and_encode(self, record: Any) -> tuple[Rendering, Encoding]:
        """Both steps.

        Raises:
            ChatTmplError: for what cannot be read, rendered or encoded.
        """
        conversation = record if isinstance(record, Conversation) else parse_record(record)
        rendering = self.template.render(conversation, clock=self.now, **self.kwargs)
        return rendering, encode(rendering, self.tokenizer, **self.options)

    def plainly(self, record: Any) -> tuple[str, tuple[tuple[int, int], ...], list[int], list[int]]:
        """Text, generated ranges, ids and mask, for a comparison; raises as `render_and_encode`."""
        rendering, encoding = self.render_and_encode(record)
        return rendering.text, rendering.generated, encoding.input_ids, encoding.assistant_masks

    def encode(self, record: Any) -> Row:
        """One row; raises as `render_and_encode`."""
        rendering, encoding = self.render_and_encode(record)
        row = Row(
            np.array(encoding.input_ids, dtype=np.int32),
            np.array(encoding.assistant_masks, dtype=np.uint8),
            len({straddle.edge_c for straddle in encoding.straddles}),
            len(encoding.escaped),
        )
        if "text" in self.keep:
            row.text = rendering.text
        if "generated" in self.keep:
            row.generated = rendering.generated
        if "message_index" in self.keep:
            index = [-1 if message is None else message for message in encoding.message_index]
            row.message_index = np.array(index, dtype=np.int32)
        return row
