"""Renderings of transformers: the text, and its own generated spans. Needs transformers, not torch."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

from support.cache import Unavailable, give_up

CLOCK = dt.datetime(2025, 7, 10, 12, 0)
"""The time at which the goldens were rendered."""

_ONE_AT_A_TIME = threading.Lock()

Span = tuple[int, int]


def transformers_render(
    source: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    clock: dt.datetime = CLOCK,
    **kwargs: Any,
) -> tuple[str, list[Span]]:
    """Renders one conversation as ``apply_chat_template`` does, special tokens given as kwargs.

    Returns:
        the text, and the half-open character ranges that transformers notes for the generation tags: exact only where
        a tag stands at the root of the template.

    Raises:
        Exception: whatever the template raises there.
    """
    utils = _chat_template_utils()

    class FrozenClock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> FrozenClock:
            return cls(*clock.timetuple()[:6], tzinfo=tz)

    # apply_chat_template drops the None keys of a message, and only those, before it calls this function
    kept = [{key: value for key, value in message.items() if value is not None} for message in messages]
    with _ONE_AT_A_TIME, mock.patch.object(utils, "datetime", FrozenClock):
        texts, spans = utils.render_jinja_template(
            conversations=[kept],
            tools=None if tools is None else list(tools),
            documents=None if documents is None else list(documents),
            chat_template=source,
            add_generation_prompt=add_generation_prompt,
            return_assistant_tokens_mask=True,
            **kwargs,
        )
    return texts[0], spans[0]


def _chat_template_utils() -> Any:
    try:
        import transformers.utils.chat_template_utils as utils
    except ImportError as error:
        give_up(Unavailable(f"transformers is not installed: {error}"))
    # transformers warns once a template without generation tags, which is a fair thing for a test to render
    utils.logger.setLevel("ERROR")
    return utils
