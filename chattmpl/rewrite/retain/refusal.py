"""Why a template is not rewritten."""

from __future__ import annotations

from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import TemplateError


class CannotRetain(TemplateError):
    """There is no place for the policy, or no change was found that could be proven.

    Attributes:
        policy: the policy that was asked for.
        conversation, kwargs: what shows it; None if nothing was rendered.
        expected, got: the two texts that should be equal, where two are compared.
    """

    def __init__(
        self,
        message: str,
        *,
        policy: str,
        hint: str | None = None,
        conversation: Conversation | None = None,
        kwargs: dict[str, Any] | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.policy = policy
        self.conversation = conversation
        self.kwargs = kwargs or {}
        self.expected = expected
        self.got = got
