"""Fields of the data that a template does not render: nobody would train on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError
from chattmpl.template.template import Template
from chattmpl.training.run.config import Config

_LOOKED_AT = 300
_SHOWN = 5

_REASONING = re.compile(r"messages\[(\d+)\]\.(?:reasoning_content|reasoning|thinking)\b")
_QUIET = re.compile(r"messages\[\]\.(?:tool_call_id|name|tool_calls\[\]\.(?:id|type))$")
"""What tells messages apart and says nothing: many templates leave it out."""


def not_rendered(conversations: Sequence[Any], template: Template, config: Config, clock: Any) -> str | None:
    """What a person is told of fields that are left out; None where there are none.

    Args:
        conversations: the first some hundred of them are rendered.
        template: of the run.
        config: of the run. Where earlier turns are rendered without their reasoning, or each has a row of its own,
            only the last one's counts.
        clock: what time the template is told that it is.
    """
    some = conversations[:_LOOKED_AT]
    counts: Counter[str] = Counter()
    touched = 0
    for each in some:
        found = _fields(each, template, config, clock)
        touched += bool(found)
        counts.update(found)
    if not counts:
        return None
    listed = ", ".join(f"{name} in {times:,}" for name, times in counts.most_common(_SHOWN))
    more = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return (
        f"{touched:,} of {len(some):,} conversations hold fields that {template.name} does not render, so that they "
        f"are not trained: {listed}{more}"
    )


def _fields(each: Any, template: Template, config: Config, clock: Any) -> set[str]:
    whole = Conversation.coerce(each)
    try:
        lost = template.render(whole, False, clock, **config.template.kwargs).lost
    except ChatTmplError:
        return set()
    only_last = config.unroll or template.retention not in (None, "all")
    last = max((at for at, message in enumerate(whole.messages) if message.role == "assistant"), default=-1)
    found = set()
    for path in lost:
        reasoning = _REASONING.match(path)
        if reasoning and only_last and int(reasoning[1]) != last:
            continue
        name = re.sub(r"\[\d+\]", "[]", path)
        if not _QUIET.match(name):
            found.add(name.replace("[]", ""))
    return found
