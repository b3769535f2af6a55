"""Reading of one turn of a conversation, whose keys, role, calls and flags have many spellings, as a message."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from chattmpl.conversation import spellings
from chattmpl.conversation.normalization import (
    PART_TYPES,
    REASONING_NAMES,
    as_dict,
    as_list,
    clean_arguments,
    drops_nulls,
    messages_are_padded,
)
from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.conversation.spellings import CANONICAL_FLAGS, folded, has_text, is_content
from chattmpl.conversation.validation_errors import (
    ROLE_OF_SENDER,
    ROLES,
    FieldError,
    FieldPath,
    find_misspelling,
    found_keys,
    shown,
    unknown_role,
)
from chattmpl.errors import did_you_mean
from chattmpl.options import Shape

_ROLES = frozenset(ROLES)
_SIMPLE = spellings.MESSAGE_KEYS - {"tool_calls"}
_CALL_KEYS = frozenset({"id", "type", "name", "arguments"})


class TurnReader:
    """Reader of the turns of one record.

    Args:
        shape: the shape of the record.
        decode: whether arguments that are a string of JSON are parsed.

    Attributes:
        notes: the notes, in order and without repetition.
        from_json: True if the turns were a string of JSON.
    """

    def __init__(self, shape: Shape, *, decode: bool) -> None:
        self.shape, self.decode = shape, decode
        self.notes: dict[ReadingNote, None] = {}
        self.from_json = False

    def note(self, kind: NoteKind, name: str, target: str = "") -> None:
        """Add a note."""
        self.notes[ReadingNote(kind, name, target)] = None

    def turns(self, value: Any, path: FieldPath, what: str) -> list[Any]:
        """Return the messages of a list of turns; the list itself if nothing in it has to be changed."""
        if isinstance(value, str):
            decoded = json_of(value, list)
            if decoded is not None:
                self.note(NoteKind.READ_AS, str(path[-1]), "JSON")
                value, self.from_json = decoded, True
        turns = as_list(value)
        if not isinstance(turns, list):
            raise FieldError(f"must be a list of {what}, not {shown(turns)}", path)
        messages = []
        same = type(turns) is list
        for index, turn in enumerate(turns):
            if is_simple(turn):
                messages.append(turn)
                continue
            message = self._turn(turn, (*path, index))
            same = same and message is turn
            messages.append(message)
        return turns if same else messages

    def _turn(self, turn: Any, path: FieldPath) -> Any:
        if isinstance(turn, str) and (decoded := json_of(turn, dict)) is not None:
            self.note(NoteKind.READ_AS, f"{path[-2]}[]", "JSON")
            turn = decoded
        given = as_dict(turn)
        if given is None:
            if self.shape != "sharegpt":
                return turn  # the model says what is wrong
            raise FieldError(f"must be a turn (a dict with 'from' and 'value'), not {type(turn).__name__}", path)
        sender_key = next((key for key in spellings.SENDER_KEYS if given.get(key) is not None), None)
        if sender_key is None:
            if self.shape != "sharegpt":
                return given
            self._missing(given, "from", path)
        text_key = next((key for key in spellings.TEXT_KEYS if given.get(key) is not None), None)
        sender = given[sender_key]
        if not isinstance(sender, str):
            if sender_key == "role":
                return given
            raise FieldError(f"must be a string, not {type(sender).__name__}", (*path, sender_key))
        role = sender
        if sender_key != "role" or text_key not in (None, "content") or sender in spellings.TOOL_SENDERS:
            known_role = ROLE_OF_SENDER.get(sender.strip().lower().replace("-", "_"))
            if known_role is None and sender_key != "role":
                problem, _ = unknown_role(sender)
                known = ROLE_OF_SENDER
                hint = did_you_mean(sender.lower(), known) or f"known senders are {', '.join(known)}"
                raise FieldError(problem, (*path, sender_key), hint=hint)
            role = known_role or sender
        worded = (*spellings.TEXT_KEYS, "tool_calls", "function_call")
        if sender_key != "role" and not any(key in given for key in worded):
            self._missing(given, "value", path)
        return self._message(given, path, sender_key, text_key, role)

    def _missing(self, given: Mapping[str, Any], key: str, path: FieldPath) -> NoReturn:
        found = find_misspelling(tuple(given), frozenset({key}))
        if found is not None:
            hint = f"did you mean {found[1]!r}?"
            raise FieldError(f"unknown key {found[0]!r}", (*path, found[0]), on_key=True, hint=hint)
        raise FieldError(f"{key!r} is missing", path, hint=found_keys(given))

    def _message(
        self, given: dict[str, Any], path: FieldPath, sender_key: str, text_key: str | None, role: str
    ) -> dict[str, Any]:
        """Return a turn as a message; the turn itself if nothing has to be changed."""
        made: dict[str, Any] = {}
        same = True
        flags: dict[str, Any] = {}
        for key, value in given.items():
            if key == sender_key:
                made["role"] = "assistant" if role == "function_call" else role
                same = same and key == "role" and value == made["role"]
                continue
            if key == text_key:
                made["content"] = value
                same = same and key == "content"
                if key not in ("content", "value"):
                    self.note(NoteKind.READ_AS, f"{sender_key}+{key}", "role+content")
                continue
            if spellings.is_flag(key, value):
                if value is not None:
                    flags[key] = value
                if key in CANONICAL_FLAGS:
                    made[key] = value
                else:
                    same = False
                continue
            if key == "tool_calls" and value is not None:
                made[key] = self._tool_calls(value, (*path, key))
                same = same and made[key] is value
                continue
            if key == "function_call":
                same = False
                continue
            if (key == "role") or (key == "content" and text_key is not None):
                same = False  # null, beside the key that is used
                continue
            made[key] = value
        if sender_key == "role" and text_key == "value":
            self.note(NoteKind.READ_AS, "role+value", "role+content")
        elif sender_key == "from" and text_key == "content":
            self.note(NoteKind.READ_AS, "from+content", "role+content")
        elif role != given[sender_key] and sender_key == "role":
            self.note(NoteKind.READ_AS, str(given[sender_key]), "tool_calls" if role == "function_call" else role)
        if role == "function_call":
            calls = calls_of(made.get("content"), (*path, text_key or "content"))
            made = {**made, "content": "", "tool_calls": [self._call(call, path) for call in calls]}
        call = given.get("function_call")
        if isinstance(call, str):
            call = json_of(call, dict) or call
        if has_text(call):
            made["tool_calls"] = self._legacy_call(call, made.get("tool_calls"), path)
        if flags:
            same = self._apply_flags(made, flags, role, path) and same
        self._look_at_content(made, path)
        self._look_at_keys(given, made, path)
        return given if same else made

    def _legacy_call(self, call: Any, calls: Any, path: FieldPath) -> list[Any]:
        """Return the tool calls of a message with ``function_call``, as in OpenAI's first API for tools."""
        where = (*path, "function_call")
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise FieldError("needs 'name' and 'arguments'", where)
        made = self._call({key: value for key, value in call.items() if value is not None}, where)
        if calls and [each.get("function") for each in calls] != [made["function"]]:
            raise FieldError("differs from 'tool_calls' in the same message", where, hint="keep only one")
        self.note(NoteKind.READ_AS, "function_call", "tool_calls")
        return calls or [made]

    def _call(self, function: dict[str, Any], path: FieldPath) -> dict[str, Any]:
        return {"type": "function", "function": self._function(function, path, "function_call")}

    def _tool_calls(self, value: Any, path: FieldPath) -> Any:
        calls = value
        if isinstance(value, str):
            if not value.strip():
                return None
            calls = json_of(value, list)
            if calls is None:
                raise FieldError("must be a list of tool calls, not a text", path, hint="or JSON of such a list")
            self.note(NoteKind.READ_AS, "tool_calls", "JSON")
        calls = as_list(calls)
        if not isinstance(calls, list):
            return value
        made = [self._tool_call(call, (*path, index)) for index, call in enumerate(calls)]
        return calls if all(one is other for one, other in zip(made, calls, strict=True)) else made

    def _tool_call(self, call: Any, path: FieldPath) -> Any:
        if isinstance(call, str):
            call = json_of(call, dict) or call
        given = as_dict(call)
        if given is None:
            return call
        function = given.get("function")
        if isinstance(function, str):
            function = json_of(function, dict) or function
        nested = as_dict(function)
        if nested is not None:
            made = self._function(nested, path, "tool_calls[].function")
            return call if made is given.get("function") else {**given, "function": made}
        name = next((key for key in spellings.FUNCTION_KEYS if isinstance(given.get(key), str)), None)
        arguments = next((key for key in spellings.ARGUMENT_KEYS if given.get(key) is not None), None)
        misspelt = arguments is None and find_misspelling(tuple(given), _CALL_KEYS) is not None
        if name is None or given[name].lstrip()[:1] in ("{", "[") or misspelt:
            return call  # the model says what is wrong
        self.note(NoteKind.READ_AS, f"tool_calls[].{arguments or name}", "function")
        inner = {"name": given[name]} if arguments is None else {"name": given[name], "arguments": given[arguments]}
        rest = {key: value for key, value in given.items() if key not in (name, arguments, "function")}
        return {**rest, "type": "function", "function": self._function(inner, path, "")}

    def _function(self, function: dict[str, Any], path: FieldPath, where: str) -> dict[str, Any]:
        """Return a function of a call with its arguments under that name, decoded if asked for."""
        key = next((key for key in spellings.ARGUMENT_KEYS if function.get(key) is not None), "arguments")
        if key != "arguments":
            self.note(NoteKind.READ_AS, f"{where}.{key}", "arguments")
            rest = {name: value for name, value in function.items() if name not in ("arguments", key)}
            function = {**rest, "arguments": function[key]}
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            return function
        if not self.decode:
            if arguments.strip():
                self.note(NoteKind.TEXT_ARGUMENTS, "arguments")
            return function
        decoded = json_of(arguments, dict) if arguments.strip() else {}
        if decoded is None:
            raise FieldError(
                "is a string that is not JSON of an object, so it cannot be decoded",
                (*path, "arguments"),
                hint="correct it, or keep arguments as they are",
            )
        return {**function, "arguments": decoded}

    def _look_at_content(self, message: dict[str, Any], path: FieldPath) -> None:
        content = message.get("content")
        if content is None or isinstance(content, str):
            return
        parts = as_list(content)
        if not isinstance(parts, list):
            if message.get("role") == "tool":
                self.note(NoteKind.OBJECT_RESULT, "content")
            return
        given = [part for part in parts if isinstance(part, dict)]
        known = all(isinstance(part, dict) and part.get("type") in PART_TYPES for part in parts)
        if message.get("role") == "tool" and not known:
            self.note(NoteKind.OBJECT_RESULT, "content")
            return
        for part in given:
            kind = part.get("type")
            if kind == "text":
                self.note(NoteKind.TEXT_PARTS, "content")
            elif isinstance(kind, str) and kind in spellings.MEDIA_PARTS:
                self.note(NoteKind.MEDIA, spellings.MEDIA_PARTS[kind])
            else:
                self.note(NoteKind.PART, str(kind), "text" if has_text(part.get("text")) else "no text")

    def _look_at_keys(self, given: dict[str, Any], message: dict[str, Any], path: FieldPath) -> None:
        """Note keys of a message that few templates read, and refuse a message that has nothing else."""
        others = [key for key in message if key not in spellings.MESSAGE_KEYS and key not in CANONICAL_FLAGS]
        if not others or find_misspelling(tuple(given), spellings.MESSAGE_KEYS) is not None:
            return  # a misspelt key, which the model reports, is not one that is left out
        known = ("content", "tool_calls", *REASONING_NAMES)
        if "content" not in given and not any(message.get(key) for key in known):
            for key in others:
                if spellings.may_be_text_of_message(str(key), message[key]):
                    raise FieldError("'content' is missing", path, hint=f"did you mean 'content' instead of {key!r}?")
        for key in others:
            if message.get("role") == "assistant":
                self.notes.update(dict.fromkeys(hidden_flags(str(key), message[key], path)))
            if is_content(str(key), message[key]) and message[key] != message.get("content"):
                self.note(NoteKind.UNREAD_KEY, str(key))

    def _apply_flags(self, message: dict[str, Any], flags: dict[str, Any], role: str, path: FieldPath) -> bool:
        """Set ``train`` by the flags of a message; return true for ``train`` and ``weight``, which stay as they are."""
        meanings = {key: flag_meaning(key, value, (*path, key)) for key, value in flags.items()}
        if len(set(meanings.values())) > 1:
            shown = " but ".join(f"{key!r} is {_shown_flag(flags[key])}" for key in list(flags)[:2])
            raise FieldError(shown, path, hint="keep one of them")
        if role not in ("assistant", "function_call"):
            if True in meanings.values():
                self.note(NoteKind.FLAG_WITHOUT_EFFECT, next(iter(flags)))
        else:
            for key in flags:
                if key not in CANONICAL_FLAGS:
                    self.note(NoteKind.READ_AS, key, "train")
        if CANONICAL_FLAGS.issuperset(flags):
            return True
        message["train"] = next(iter(meanings.values()))
        return False


def is_simple(turn: Any) -> bool:
    """Return true for a message of texts and usual tool calls under their own names, which is read as it is."""
    if type(turn) is not dict or type(role := turn.get("role")) is not str or role not in _ROLES:
        return False
    content = turn.get("content")
    if type(content) is str and _SIMPLE.issuperset(turn):
        return True
    return (
        type(calls := turn.get("tool_calls")) is list
        and (content is None or type(content) is str)
        and spellings.MESSAGE_KEYS.issuperset(turn)
        and all(map(_is_simple_call, calls))
    )


def _is_simple_call(call: Any) -> bool:
    """Return true for a call whose arguments are an object, under its own name."""
    function = call.get("function") if type(call) is dict else None
    return type(function) is dict and type(function.get("arguments")) is dict


def notes_on_fields(
    messages: list[Any], tools: Any, documents: Any, *, nulls_kept: bool = False, tool_nulls_kept: bool = False
) -> tuple[ReadingNote, ...]:
    """Return the notes on fields that not every template renders, on dropped nulls and on earlier trained answers."""
    fields: dict[tuple[str, str], None] = {}
    trained: list[Any] = []
    last: Any = None
    for message in messages:
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if role == "assistant":
            last = message
            if message.get("train") is not False:
                trained.append(message)
        elif role != "user":
            fields["content", "later system" if role == "system" and message is not messages[0] else str(role)] = None
        if len(message) > 2:
            for name in message:
                if name in _OPTIONAL and message[name]:
                    fields[name, str(role)] = None
                    if name == "tool_calls" and has_text(message.get("content")):
                        fields["content", "tool-calling assistant"] = None
                    if name == "tool_calls" and isinstance(message[name], list) and len(message[name]) > 1:
                        fields["tool_calls[1:]", str(role)] = None
    if tools:
        fields["tools", ""] = None
    if documents:
        fields["documents", ""] = None
    has_calls = ("tool_calls", "assistant") in fields
    padded = (tools or has_calls) and not nulls_kept and messages_are_padded(messages)
    nulls = ["arguments"] if padded and any(clean_arguments(message) != message for message in messages) else []
    if isinstance(tools, list) and not tool_nulls_kept and drops_nulls(tools, padded=padded):
        nulls.append("tools")
    earlier = {kind for message in trained if message is not last for kind in _kinds_of_answer(message)}
    return _field_notes(tuple(fields), tuple(nulls), " and ".join(sorted(earlier)))


def _kinds_of_answer(message: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of an answer that templates may write in another way when messages follow."""
    yield "answers"
    if message.get("tool_calls"):
        yield "calls"
    content = message.get("content")
    if any(message.get(name) for name in REASONING_NAMES) or (isinstance(content, str) and "</think>" in content):
        yield "reasoning"


@lru_cache(maxsize=512)
def _field_notes(
    fields: tuple[tuple[str, str], ...], nulls: tuple[str, ...], earlier_answers: str
) -> tuple[ReadingNote, ...]:
    notes = [ReadingNote(NoteKind.FIELD, name, role) for name, role in fields]
    notes += [ReadingNote(NoteKind.DROPPED_NULLS, name) for name in nulls]
    return (*notes, ReadingNote(NoteKind.EARLIER_ANSWERS, earlier_answers)) if earlier_answers else tuple(notes)


_OPTIONAL = frozenset({"tool_calls", "name", *REASONING_NAMES})


def hidden_flags(key: str, value: Any, path: FieldPath) -> Iterator[ReadingNote]:
    """Yield a note on each flag in a field that is not read.

    Raises:
        FieldError: a flag says that something is not trained.
    """
    if spellings.marks_tokens(key, value):
        yield ReadingNote(NoteKind.UNREAD_FLAG, key)
    for where, flag in spellings.flags_inside(value):
        inside = (*path, key, *where)
        if flag in (0, 1) and not flag_meaning(where[-1], flag, inside):
            hint = "write train: false on the assistant message itself, or in a column of the row"
            raise FieldError("says what is not trained, but flags inside other fields are not read", inside, hint=hint)
        yield ReadingNote(NoteKind.UNREAD_FLAG, ".".join((key, *where)))


def json_of(text: str, kinds: type | tuple[type, ...]) -> Any:
    """Return the value of a string of JSON if it is of a kind, else None."""
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, kinds) else None


def flag_meaning(key: str, value: Any, path: FieldPath) -> bool:
    """Return true for a flag that asks to train; raise `FieldError` if the meaning is not certain."""
    name = folded(key)
    if name in spellings.UNCERTAIN or name not in spellings.FLAGS:
        part = "detail" in name
        problem = "training parts of a message is not supported" if part else "the meaning of this flag is not certain"
        raise FieldError(problem, path, hint="write train: true or train: false on each assistant message")
    if isinstance(value, (list, dict)):
        raise FieldError(
            "must be one value for a message, not one for each token or part",
            path,
            hint="write train: true or train: false on each assistant message",
        )
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value) != (name in spellings.MASKED)
    if isinstance(value, (int, float)) and name in (spellings.WEIGHTS | spellings.TRAINED):
        raise FieldError(
            f"the weight {value:g} is not supported; a message is trained (1) or not (0)",
            path,
            hint="write train: true or train: false, or a weight of 0 or 1",
        )
    raise FieldError(f"must be true or false, not {_shown_flag(value)}", path, hint="write train: true or train: false")


def _shown_flag(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)[:40]


def calls_of(value: Any, path: FieldPath) -> list[dict[str, Any]]:
    """Return the calls of a ``function_call`` turn, whose value is the JSON of one call or of a list of calls."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise FieldError(f"the value of a function_call turn is not JSON: {error}", path) from None
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict) or "name" not in call:
            raise FieldError("a function_call turn needs the JSON of {'name', 'arguments'}", path)
    return calls
