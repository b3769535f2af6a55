"""Names that datasets use for the columns of a row, the keys of a turn, roles and flags: one table for every reader."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from chattmpl.conversation.normalization import REASONING_NAMES
from chattmpl.conversation.validation_errors import ROLE_OF_SENDER
from chattmpl.options import Shape

# -- shapes


class ShapeMarks(NamedTuple):
    """The columns that identify a shape.

    Attributes:
        name: the shape.
        columns: for each column of the shape, its names; the first one is the shape's own.
    """

    name: Shape
    columns: tuple[tuple[str, ...], ...]

    @property
    def own(self) -> tuple[str, ...]:
        """The shape's own names of its columns."""
        return tuple(names[0] for names in self.columns)


SHAPES = (
    ShapeMarks("messages", (("messages",),)),
    ShapeMarks("sharegpt", (("conversations", "conversation", "dialogue", "dialog", "turns", "chat"),)),
    ShapeMarks("alpaca", (("instruction",), ("output", "response"))),
    ShapeMarks(
        "prompt-completion",
        (
            ("prompt", "question", "query", "problem", "input", "user", "human"),
            ("completion", "response", "answer", "answers", "solution", "output", "assistant"),
        ),
    ),
)
"""The shapes; one whose own names fit is preferred to one that fits by other names."""

_FIRST_COLUMNS = frozenset(shape.own[0] for shape in SHAPES)

_PREFERRED = re.compile(r"(?<![a-z])(?<!non_)(?<!not_)(chosen|accepted|preferred|winning|winner|better)(?![a-z])")
_REJECTED = re.compile(
    r"(?<![a-z])(rejected|dispreferred|unpreferred|nonpreferred|non_preferred|not_preferred|losing|loser|worse)(?![a-z])"
)
"""Words in the columns of the preferred and of the other answer in preference data, alone or with others."""


def preference_pair(columns: Iterable[str]) -> tuple[str, str] | None:
    """Return the columns of the preferred and of the other answer; None if there are none.

    Scores of answers and other metadata are none of them.
    """
    names = [name for name in columns if "metadata" not in _kind_of_name(name)]
    found = [next((name for name in names if words.search(folded(name))), None) for words in (_PREFERRED, _REJECTED)]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


# -- columns next to those of a shape

SYSTEM = (
    "system",
    "system_prompt",
    "system_message",
    "system_instruction",
    "system_instructions",
    "system_content",
    "system_text",
    "system_msg",
    "sys_prompt",
    "sys",
)
TOOLS = (
    "tools",
    "tool_defs",
    "tool_definitions",
    "tool_schemas",
    "tool_specs",
    "tool_list",
    "tools_json",
    "available_tools",
    "tools_available",
    "target_tools",
)
FUNCTIONS = (
    "functions",
    "function_defs",
    "function_definitions",
    "function_schemas",
    "function_specs",
    "function_list",
    "available_functions",
    "functions_available",
)
"""Columns of function schemas, as in OpenAI's first API for tools, without ``type: function`` around each."""

INPUT = ("input", "context")
HISTORY = ("history",)
KTO_LABELS = ("label", "kto_tag")
_MEDIA_KINDS = ("image", "audio", "video")
MEDIA = frozenset(
    f"{kind}{ending}" for kind in _MEDIA_KINDS for ending in ("", "s", "_path", "_paths", "_url", "_urls")
) | {"pixel_values", "media"}

MEDIA_PARTS = {
    f"{before}{kind}{after}": kind
    for kind in _MEDIA_KINDS
    for before, after in (("", ""), ("", "_url"), ("input_", ""))
}
"""The types of content parts that only a processor can read."""

# -- turns

SENDER_KEYS = ("role", "from", "speaker", "author", "sender")
TEXT_KEYS = ("content", "value", "text", "message")
FUNCTION_KEYS = ("name", "function", "function_name", "tool_name")
ARGUMENT_KEYS = ("arguments", "args", "parameters", "params", "input", "tool_input")
"""Keys for the name and for the arguments of a tool call; the first of each is read as it is."""

TOOL_SENDERS = frozenset(sender for sender, role in ROLE_OF_SENDER.items() if role in ("tool", "function_call"))
"""Senders that are read in the key ``role`` of a message too; there, other spellings of a role are errors."""

_COLUMNS = frozenset(name for shape in SHAPES for names in shape.columns for name in names)


def is_record(value: Any) -> bool:
    """Return true for an element of a list of records, false for one of a list of messages or turns."""
    if not isinstance(value, dict):
        return isinstance(value, list)
    names = {folded(key) for key in value if isinstance(key, str)}
    if names & _FIRST_COLUMNS:
        return True
    return names.isdisjoint(SENDER_KEYS) and bool(names & _COLUMNS)


# -- flags of messages, and of rows

TRAINED = frozenset(
    {
        *("train", "trained", "training", "trainable", "is_trainable", "train_on", "train_mask", "training_mask"),
        *("train_on_turn", "train_on_message", "should_train"),
        *("loss", "has_loss", "use_loss", "compute_loss", "calculate_loss", "loss_mask", "loss_masks", "turn_mask"),
        *("learn", "supervised"),
    }
)
"""Flags that are true for what is trained."""
MASKED = frozenset({"masked", "is_masked", "ignore_loss", "no_loss", "no_train", "exclude_from_loss"})
"""Flags that are true for what is not trained."""
WEIGHTS = frozenset({"weight", "weights", "loss_weight", "loss_weights", "loss_scale", "message_weights"})
CANONICAL_FLAGS = frozenset({"train", "weight"})
"""The flags of a message in a conversation, as which all others are read."""
UNCERTAIN = frozenset(
    {"mask", "masks", "ignore", "train_detail", "train_details", "training_detail", "training_details"}
)
"""Flags whose meaning differs between tools, or that concern a part of a message."""
FLAGS = TRAINED | MASKED | WEIGHTS | UNCERTAIN

_FLAG_LIKE = re.compile(r"(^|_)(train\w*|loss|learn\w*|supervised?|masked|skip\w*|ignored?|(?:in|ex)clude\w*)(_|$)")


def is_flag(key: str, value: Any) -> bool:
    """Return true for a key of a message that decides whether it is trained, or may do so."""
    if key in FLAGS:
        return True
    name = folded(key)
    return name in FLAGS or (isinstance(value, (bool, int)) and value in (0, 1) and _looks_like_flag(name))


@lru_cache(maxsize=4096)
def _looks_like_flag(name: str) -> bool:
    return _FLAG_LIKE.search(name) is not None


_OF_TOKENS = re.compile(r"(^|_)(labels?|masks?|weights?|train\w*|loss)(_|$)")
_OF_INPUT = re.compile(r"(^|_)(attention|special|padding|causal|class|topic|sentiment)(_|$)")


def marks_tokens(name: str, value: Any) -> bool:
    """Return true for a list of numbers that mark what is trained, such as ``labels``, one for each token."""
    if isinstance(value, str) and value[:1] == "[":
        value = flag_of_text(value)
    while isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        value = value[0]
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, (int, float)) for one in value):
        return False
    return _OF_TOKENS.search(folded(name)) is not None and _OF_INPUT.search(folded(name)) is None


def flags_inside(value: Any, depth: int = 4) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of each flag inside an object, which may be a string of JSON."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return
    if not isinstance(value, dict) or not depth:
        return
    for key, inner in value.items():
        name = folded(str(key))
        if isinstance(inner, str) and name in TRAINED | MASKED and inner.strip().lower() in _FLAG_WORDS:
            inner = flag_of_text(inner)
        if isinstance(inner, (bool, int, float)):
            counts = isinstance(inner, bool) or (name not in ROW_NUMBERS and (inner in (0, 1) or name in WEIGHTS))
            if counts and name in TRAINED | MASKED | WEIGHTS:
                yield (str(key),), inner
        elif marks_tokens(name, inner):
            yield (str(key),), inner
        else:
            yield from (((str(key), *rest), flag) for rest, flag in flags_inside(inner, depth - 1))


ROW_NUMBERS = frozenset({"loss", "ignore", "mask", "supervised", "learn"})
"""Flags that name other values in a row, such as the loss that was measured; there, booleans, 0, 1 and lists count."""

_FLAG_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def flag_of_text(text: str) -> Any:
    """Return the flag in a text, as CSV files have it: a boolean, a number or a JSON list; None for other words."""
    text = text.strip().lower()
    if text in _FLAG_WORDS:
        return _FLAG_WORDS[text]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (int, float, list)) else None


# -- columns that are not read

_METADATA = re.compile(
    r"(^|_)(ids?|idx|index|uuid|guid|hash|hashes|sha1|sha256|md5|urls?|uri|links?|sources?|src|datasets?|data_source|"
    r"subset|split|origin|scores?|ratings?|rewards?|quality|tokens?|counts?|num|length|len|time|timestamp|date|created|"
    r"updated|at|licen[sc]e|lang|languages?|models?|generator|version|category|categories|subcategory|topics?|tasks?|"
    r"types?|tags?|title|names?|domain|difficulty|level|metadata|meta|stats|path|files?|filename|embeddings?|logprobs|"
    r"perplexity|ppl|moderation|toxic|toxicity|redacted|ip|country|state|views|avatar|avatarurl|label|labels|format|"
    r"hops|turns|views|likes|votes|upvotes|annotator|seed|temperature|finish_reason|usage|flags?)$"
)
_LONG_METADATA = re.compile(
    r"(^|_)(ids?|uuid|hash|urls?|links?|avatarurl|metadata|meta|embeddings?|logprobs|moderation|toxicity|scores?|"
    r"ratings?|tags|tokens?|usage|stats|header|sources?)$"
)
"""Names of metadata of any length and type; under the others, only a short text on one line is metadata."""
_CONTENT = re.compile(
    r"system|prompt|instruct|context|persona|tool|function|message|question|answer|response|knowledge|rule|document|"
    r"passage|thought|think|cot|chain|analysis|scratch|rationale|explanation|solution|text|content|example|query|completion|image|audio|video"
)
_SHORT = 80


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return the name of a column in lower case, with underscores between its words."""
    return re.sub(r"[\s\-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower()


def is_content(name: str, value: Any) -> bool:
    """Return true if a value that is not read has text or objects that may be intended for the model.

    Empty values, numbers, ids, sources, scores and other short values that describe a row are not content.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return False
    kind = _kind_of_name(name)
    if kind == "metadata" or not isinstance(value, str):
        return kind != "metadata" and has_text(value)
    text = value.strip()
    if len(text) > _SHORT or "\n" in text:
        return True
    return bool(text) and kind != "short metadata" and (kind == "content" or len(text.split()) > 1)


def may_be_text_of_message(name: str, value: Any) -> bool:
    """Return true if a value may be what a message says, where it has no content: any text that is not metadata."""
    return has_text(value) and "metadata" not in _kind_of_name(name)


@lru_cache(maxsize=4096)
def _kind_of_name(name: str) -> str:
    """Return the kind of value that the name of a column suggests."""
    key = folded(name)
    if _LONG_METADATA.search(key):
        return "metadata"
    if _METADATA.search(key):
        return "short metadata"
    return "content" if _CONTENT.search(key) else "unknown"


def has_text(value: Any) -> bool:
    """Return true if a value has a text that is not empty, at any depth."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, dict):
        return any(map(has_text, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(has_text, value))
    return not isinstance(value, (bool, int, float, type(None)))


MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", *REASONING_NAMES})
"""The keys of a message that are read as they are, apart from flags."""
