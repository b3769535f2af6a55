"""Retention policies: which earlier reasoning traces a template renders, one row per policy.

All facts about a policy are in its row of `POLICIES`: the compiler lowers its condition, ``runtime`` is the
alternative of all rows, `retain` rewrites a template until it keeps what `Policy.keeps` says, and `inspect`, the help
and the docs use its name and summary. To add a policy, add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chattmpl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from chattmpl.conversation.models import Conversation

VARIABLE = "reasoning_retention"
"""The variable with the policy's name in a template, and the kwarg of a template exported with ``runtime``."""

RUNTIME = "runtime"
"""The policy that reads the kwarg `VARIABLE` at each render."""

Test = Callable[["Conversation", int, bool], bool]
"""A test of message ``i`` of a conversation that is rendered with or without a generation prompt."""


@dataclass(frozen=True)
class RetentionBoundary:
    """The kind of message after the last of which a policy keeps traces.

    Attributes:
        counter: the attribute of the template's namespace that counts the messages after the boundary.
        jinja: a test on ``message``, in a loop over ``messages``; ``{query}`` is the family's test for user messages.
        test: the same test in Python.
    """

    counter: str
    jinja: str
    test: Test

    def keeps(self, conversation: Conversation, index: int, prompt: bool) -> bool:
        """Return whether no boundary is at this message or after it."""
        return not any(self.test(conversation, later, prompt) for later in range(index, len(conversation.messages)))


@dataclass(frozen=True)
class Policy:
    """A retention policy.

    Attributes:
        name: the name in options and in Python.
        summary: the assistant messages whose traces it keeps, as a phrase for help and documentation.
        condition: a Jinja expression that is true where the trace of the message being rendered is kept. The message
            is known by ``loop.revindex0``, its distance from the end, which is the same in a loop over all messages
            and over a tail of them such as ``messages[1:]``.
        kept: the same condition in Python, for an assistant message.
        boundary: the boundary whose counter the condition reads, if it reads one.
        short: a name for narrow columns.
        undecided: whether the policy does not say what to keep in a conversation, which `retain` then does not check.
    """

    name: str
    summary: str
    condition: str
    kept: Test
    boundary: RetentionBoundary | None = None
    short: str = ""
    undecided: Callable[[Conversation, bool], bool] = lambda conversation, prompt: False

    def keeps(self, conversation: Conversation, prompt: bool = False) -> frozenset[int]:
        """Return the indices of the messages whose traces the policy keeps; with a prompt, the last message is the one
        to come.
        """
        answers = (index for index, message in enumerate(conversation.messages) if message.role == "assistant")
        return frozenset(index for index in answers if self.kept(conversation, index, prompt))


_QUESTION = RetentionBoundary(
    "after_last_user", "{query}", lambda conversation, index, prompt: conversation.messages[index].role == "user"
)
_ANSWER = RetentionBoundary(
    "after_last_answer",
    "message.role == 'assistant' and not message.tool_calls and (add_generation_prompt or not loop.last)",
    lambda conversation, index, prompt: (
        conversation.messages[index].role == "assistant"
        and not conversation.messages[index].tool_calls
        and (prompt or index < len(conversation.messages) - 1)
    ),
)


def _without_question(conversation: Conversation, prompt: bool) -> bool:
    return all(message.role != "user" for message in conversation.messages)


def _answered(conversation: Conversation, prompt: bool) -> bool:
    """Return whether an answer is followed by a prompt for another one."""
    return prompt and bool(conversation.messages) and conversation.messages[-1].role == "assistant"


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "all",
            "every assistant message, so that history stays exactly as it was sampled",
            "true",
            lambda conversation, index, prompt: True,
        ),
        Policy(
            "all_with_tools",
            "every assistant message if there are tools, else those after the last user message",
            "tools or loop.revindex0 < {retention}.after_last_user",
            lambda conversation, index, prompt: (
                bool(conversation.tools) or _QUESTION.keeps(conversation, index, prompt)
            ),
            _QUESTION,
            "with_tools",
            undecided=_without_question,
        ),
        Policy(
            "since_last_user",
            "assistant messages after the last user message",
            "loop.revindex0 < {retention}.after_last_user",
            _QUESTION.keeps,
            _QUESTION,
            "since_user",
            undecided=_without_question,
        ),
        Policy(
            "calls_since_last_user",
            "assistant messages with tool calls after the last user message",
            "loop.revindex0 < {retention}.after_last_user and messages[-1 - loop.revindex0].tool_calls",
            lambda conversation, index, prompt: (
                bool(conversation.messages[index].tool_calls) and _QUESTION.keeps(conversation, index, prompt)
            ),
            _QUESTION,
            "calls_since",
            undecided=_without_question,
        ),
        Policy(
            "open_tool_loop",
            "assistant messages after the last earlier answer without tool calls",
            "loop.revindex0 < {retention}.after_last_answer",
            _ANSWER.keeps,
            _ANSWER,
            "open_loop",
            undecided=_answered,
        ),
        Policy(
            "last",
            "only the last message",
            "loop.last and not add_generation_prompt",
            lambda conversation, index, prompt: index == len(conversation.messages) - 1 and not prompt,
            undecided=_answered,
        ),
        Policy("none", "no message", "false", lambda conversation, index, prompt: False),
    )
}
"""The policies by name."""

NAMES = (*POLICIES, RUNTIME)
"""The names that a template can be loaded with."""


def describe_policies() -> str:
    """Return one phrase per policy, for the help of the command line."""
    return "; ".join(f"{policy.name}: {policy.summary}" for policy in POLICIES.values())


@dataclass(frozen=True)
class Retention:
    """A policy with the facts of a family.

    Attributes:
        policy: the name of a policy, or ``runtime``.
        default: the policy of ``runtime`` where the kwarg is absent.
        query: a Jinja test on ``message``: which messages count as the last user message.
        without_query: what ``since_last_user`` keeps in a conversation without such a message.

    Raises:
        UsageError: if there is no such policy.
    """

    policy: str = "all"
    default: str = "all"
    query: str = "message.role == 'user'"
    without_query: Literal["all", "none"] = "all"

    def __post_init__(self) -> None:
        check_policy(self.policy, NAMES)

    @property
    def rows(self) -> tuple[Policy, ...]:
        """The policies that can apply: all of them at run time, else one."""
        return tuple(POLICIES.values()) if self.policy == RUNTIME else (POLICIES[self.policy],)

    @property
    def boundaries(self) -> tuple[RetentionBoundary, ...]:
        """The boundaries whose counters the condition reads."""
        return tuple(dict.fromkeys(row.boundary for row in self.rows if row.boundary is not None))

    def condition(self, namespace: str) -> str:
        """Return a Jinja expression that is true where the trace of the message being rendered is kept."""
        conditions = [(row, row.condition.format(retention=namespace)) for row in self.rows]
        if self.policy != RUNTIME:
            return conditions[0][1]
        alternatives = []
        for row, condition in conditions:
            asked = f"{VARIABLE} == '{row.name}'"
            if condition != "false":
                within = f"({condition})" if " or " in condition else condition
                alternatives.append(asked if condition == "true" else f"({asked} and {within})")
        return " or ".join(alternatives)

    def counting(self, namespace: str) -> list[str]:
        """Return the tags that count the messages after each boundary, in the attributes of a namespace."""
        if not self.boundaries:
            return []
        attributes, branches = [], []
        for boundary in self.boundaries:
            count = f"{namespace}.{boundary.counter}"
            attributes.append(f"{boundary.counter}=0")
            test = boundary.jinja.format(query=self.query)
            if "{query}" in boundary.jinja and self.without_query == "none":
                attributes.append("asked=false")
                branches.append(
                    f"{{% if {test} %}}{{% set {count} = 0 %}}{{% set {namespace}.asked = true %}}"
                    f"{{% elif {namespace}.asked %}}{{% set {count} = {count} + 1 %}}{{% endif %}}"
                )
            else:
                counted = f"{{% set {count} = {count} + 1 %}}"
                branches.append(f"{{% if {test} %}}{{% set {count} = 0 %}}{{% else %}}{counted}{{% endif %}}")
        return [
            f"{{% set {namespace} = namespace({', '.join(attributes)}) %}}",
            "{% for message in messages %}",
            *branches,
            "{% endfor %}",
        ]


def check_policy(name: object, known: Sequence[str] = tuple(POLICIES)) -> str:
    """Return the name of a policy; raise `UsageError` if it is not one of the known names."""
    if isinstance(name, str) and name in known:
        return name
    raise UsageError(
        f"there is no retention policy {name!r}",
        hint=did_you_mean(str(name), known) or f"the policies are {', '.join(known)}",
    )
