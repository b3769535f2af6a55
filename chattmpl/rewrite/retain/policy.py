"""What a policy keeps of a conversation, and how a template says so."""

from __future__ import annotations

from chattmpl.compiler.dialect import Outline
from chattmpl.compiler.retention import POLICIES, Retention, count_after_last_user, on_lines, policy_named
from chattmpl.conversation.models import Conversation
from chattmpl.errors import UsageError

CHOICES = ("all", "since_last_user", "last", "none")
"""The policies that a template can be rewritten for."""


def chosen(policy: str) -> str:
    """The policy, checked.

    Raises:
        UsageError: if there is none of this name.
    """
    policy_named(policy, but="runtime")
    if policy not in CHOICES:
        raise UsageError(f"a template cannot be rewritten for {policy!r}", hint=f"choose one of {', '.join(CHOICES)}")
    return policy


def kept(policy: str, conversation: Conversation, prompt: bool) -> frozenset[int]:
    """The indices of the messages whose traces the policy keeps."""
    messages = conversation.messages
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    if policy == "all":
        return frozenset(answers)
    if policy == "last":
        return frozenset(index for index in answers if index == len(messages) - 1 and not prompt)
    if policy == "since_last_user":
        return frozenset(index for index in answers if index > (users[-1] if users else -1))
    return frozenset()


def condition(policy: str, outline: Outline) -> tuple[str, str]:
    """A Jinja expression for the policy, and what it needs at the head of the template."""
    namespace = "retention" if "retention" not in outline.names else "chattmpl_retention"
    found = POLICIES[policy]
    lines = count_after_last_user(Retention(policy), namespace) if found.counts else []
    return found.condition.format(retention=namespace), on_lines(lines, outline.source.text)
