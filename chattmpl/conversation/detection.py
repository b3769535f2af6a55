"""Detection of the shape of a record from its keys."""

from functools import lru_cache
from typing import Any

from chattmpl.conversation import spellings
from chattmpl.conversation.normalization import as_dict, as_list
from chattmpl.conversation.spellings import SHAPES, folded
from chattmpl.conversation.validation_errors import FieldError, find_misspelling
from chattmpl.options import Shape

MARKS = {shape.name: shape.own for shape in SHAPES}
"""The keys that identify a shape; a key with value null counts as absent."""

ENCODED_HINT = "give the conversations that it was made of; chattmpl render --rows auto shows their rows"
"""The hint for rows that are encoded already."""


def detect_shape(record: Any) -> Shape:
    """Return the shape of a record, from its keys; raise `FieldError` if no shape fits, or more than one."""
    items = as_list(record)
    if isinstance(items, list):
        first = as_dict(items[0]) if items else {"role": ""}
        return "sharegpt" if first is not None and "from" in first and "role" not in first else "messages"
    given = as_dict(record)
    if given is None:
        raise FieldError(f"a conversation is a JSON object or a list of messages, not {type(record).__name__}")
    present = tuple(key for key, value in given.items() if value is not None and isinstance(key, str))
    found = fitting_shape(present)
    if isinstance(found, FieldError):
        # An error that is raised keeps its traceback, and the cached one must not.
        raise found.moved(found.path)
    return found


@lru_cache(maxsize=4096)
def fitting_shape(present: tuple[str, ...]) -> Shape | FieldError:
    """Return the shape that has these keys, or why there is none."""
    names = {folded(key) for key in present}
    seen = ", ".join(map(repr, present)) or "none"
    if (pair := spellings.preference_pair(present)) is not None:
        own = [shape.name for shape in SHAPES if names.issuperset(shape.own)]
        other = f"; to train on its other columns, choose shape={own[0]!r}" if own else ""
        return FieldError(
            f"a preference pair ({', '.join(pair)}), which supervised training does not use",
            hint=f"to train on the preferred answer, rename {pair[0]!r} to 'completion', or to 'messages' if it "
            f"includes the prompt, and remove {pair[1]!r}{other}",
        )
    fitting = [shape.name for shape in SHAPES if names.issuperset(shape.own)]
    if len(fitting) > 1:
        hint = f"choose one, for example shape={fitting[0]!r}"
        return FieldError(f"the keys ({seen}) fit more than one shape: {' and '.join(fitting)}", hint=hint)
    if fitting:
        return fitting[0]
    for shape in SHAPES:
        if all(names.intersection(column) for column in shape.columns):
            return shape.name
    own_names = frozenset(mark for marks in MARKS.values() for mark in marks)
    found = find_misspelling(present, own_names)
    if found is not None:
        return FieldError(f"unknown key {found[0]!r}", (found[0],), on_key=True, hint=f"did you mean {found[1]!r}?")
    if "input_ids" in names:
        return FieldError("the row is encoded already", hint=ENCODED_HINT)
    known = "; ".join(f"{shape} ({', '.join(marks)})" for shape, marks in MARKS.items())
    if names == {"text"}:
        return FieldError(
            "the only key is 'text', which does not say who speaks", hint=f"store messages; the shapes are {known}"
        )
    return FieldError(f"the keys ({seen}) fit no shape", hint=f"the shapes are {known}")
