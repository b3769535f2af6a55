"""Reading of dataset records: their shape is detected, and every spelling of a field becomes a message's.

`chattmpl.conversation.spellings` is the table of the names. Whatever is not read is in the notes of the `Reading`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chattmpl.conversation import spellings
from chattmpl.conversation.detection import MARKS, detect_shape, fitting_shape
from chattmpl.conversation.models import Conversation
from chattmpl.conversation.normalization import NullCleaning, as_dict, as_list, decoded_tools
from chattmpl.conversation.notes import NoteKind, ReadingNote
from chattmpl.conversation.spellings import SHAPES, folded, is_content
from chattmpl.conversation.turns import TurnReader, flag_meaning, hidden_flags, is_simple, json_of, notes_on_fields
from chattmpl.conversation.validation_errors import FieldError, FieldPath, find_misspelling, found_keys
from chattmpl.options import Arguments, Shape, check_options

_FIELDS = frozenset(Conversation.model_fields)
_NAME_OF = {
    **dict.fromkeys(spellings.SYSTEM, "system"),
    **dict.fromkeys(spellings.TOOLS, "tools"),
    **dict.fromkeys(spellings.FUNCTIONS, "functions"),
    **{name: name for name in ("documents", "chat_template_kwargs", "template")},
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A record as it was read.

    Attributes:
        value: the record itself, without the columns that are not read, if a template's input can be made of it as it
            is; else the conversation.
        notes: what was read under another name, and what was not read.
    """

    value: dict[str, Any] | Conversation
    notes: tuple[ReadingNote, ...] = ()


def parse_record(record: Any, shape: Shape | None = None, *, clean_nulls: NullCleaning = "auto") -> Conversation:
    """Parse one record of a dataset as a conversation.

    Columns that are not read are kept as unknown keys of the conversation; `read_record` returns notes about them.

    Args:
        record: a dict, or a list of messages or of ShareGPT turns.
        shape: the name of the shape; detected from the keys of the record if None.
        clean_nulls: see :meth:`Conversation.coerce`. Most rows from Arrow or Parquet are recognised; pass ``always`` if
            no null argument is intended, ``never`` if all are.

    Raises:
        FieldError: the record fits no known shape or more than one, or violates its shape; ``path`` starts at the
            record.
        UsageError: there is no shape of that name.
    """
    return read_conversation(record, shape, clean_nulls=clean_nulls)[0]


def read_conversation(
    record: Any, shape: Shape | None = None, *, clean_nulls: NullCleaning = "auto", arguments: Arguments = "keep"
) -> tuple[Conversation, tuple[ReadingNote, ...]]:
    """Return the conversation of a record, and the notes on it; see `parse_record` and `read_record`."""
    reader = _RecordReader(record, shape, arguments)
    return reader.conversation(clean_nulls), tuple(reader.notes)


def read_record(record: Any, shape: Shape | None = None, *, arguments: Arguments = "keep") -> Reading:
    """Read one record of a dataset for an encoder.

    Args:
        record: see `parse_record`; a conversation is returned as it is.
        shape: the name of the shape; detected from the keys of the record if None.
        arguments: ``decode`` parses arguments of tool calls that are a string of JSON; ``keep`` leaves them.

    Raises:
        FieldError, UsageError: see `parse_record`.
    """
    if isinstance(record, Conversation):
        names = ("role", "content", "reasoning_content", "tool_calls", "name")
        given = ({name: getattr(one, name) for name in names} | {"train": one.trained} for one in record.messages)
        messages: list[Any] = list(given)
        return Reading(
            record,
            notes_on_fields(messages, record.tools, record.documents, nulls_kept=True, tool_nulls_kept=True),
        )
    if type(record) is dict and shape in (None, "messages") and (plain := _read_plain(record)) is not None:
        return plain
    reader = _RecordReader(record, shape, arguments)
    if not reader.unchanged:
        return Reading(reader.conversation("auto"), tuple(reader.notes))
    unread = reader.unread
    value = {key: item for key, item in record.items() if key not in unread} if unread else record
    return Reading(value, tuple(reader.notes))


def _read_plain(record: dict[str, Any]) -> Reading | None:
    """Read a record of texts in messages, with other columns that are certainly not read; None for any other.

    Most records are of this kind, and the general reader takes several times as long.
    """
    others = _others_of_plain(tuple(record))
    messages = record.get("messages")
    if others is None or type(messages) is not list or not messages or not all(map(is_simple, messages)):
        return None
    tools, kwargs = record.get("tools"), record.get("chat_template_kwargs")
    if tools is not None and (type(tools) is not list or not all(map(_is_plain_tool, tools))):
        return None
    if kwargs is not None and (type(kwargs) is not dict or "tools" in kwargs or "documents" in kwargs):
        return None
    if record.get("template") is not None or isinstance(record.get("documents"), str):
        return None
    noted = notes_on_fields(messages, tools, record.get("documents"))
    if not others:
        return Reading(record, noted)
    notes = [note for key in others for note in _unread_notes(key, record[key], messages)]
    return Reading({key: value for key, value in record.items() if key not in others}, (*notes, *noted))


def _is_plain_tool(tool: Any) -> bool:
    """Return true for a tool in which `decoded_tools` decodes nothing."""
    if type(tool) is not dict:
        return False
    function = tool.get("function", tool)
    parameters = function.get("parameters") if type(function) is dict else function
    return type(parameters) is dict and type(parameters.get("properties")) is not str


@lru_cache(maxsize=4096)
def _others_of_plain(keys: tuple[Any, ...]) -> tuple[str, ...] | None:
    """Return the columns next to messages that are not read; None if any could be read, or is a mistake."""
    others = tuple(key for key in keys if key not in _FIELDS)
    if not all(isinstance(key, str) for key in keys) or fitting_shape(keys) != "messages":
        return None
    if find_misspelling(others, _FIELDS) is not None:
        return None
    special = spellings.FLAGS.union(_NAME_OF, spellings.KTO_LABELS)
    return None if any(folded(key) in special for key in others) else others


def _unread_notes(key: Any, value: Any, messages: list[Any]) -> Iterator[ReadingNote]:
    """Yield the notes on a column that is not read; none if it is empty."""
    if value is None or value == "" or value == [] or value == {}:
        return
    name = str(key)
    if not isinstance(value, str) or value[0] in "[{":
        yield from hidden_flags(name, value, ())
    if folded(name) in spellings.MEDIA:
        yield ReadingNote(NoteKind.MEDIA, name)
    elif is_content(name, value) and not _repeats(value, messages):
        yield ReadingNote(NoteKind.UNREAD_COLUMN, name)
    else:
        yield ReadingNote(NoteKind.METADATA, name)


def _repeats(value: Any, messages: list[Any]) -> bool:
    """Return true for a text that a message has too, as the first question often has a column too."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    contents = (as_dict(message) or {} for message in messages)
    return any(isinstance(content := each.get("content"), str) and text in content for each in contents)


@lru_cache(maxsize=4096)
def _column_roles(keys: tuple[Any, ...]) -> dict[str, str]:
    """Return the field as which each column is read that is named for one, whatever the shape."""
    return {key: _NAME_OF[folded(key)] for key in keys if isinstance(key, str) and folded(key) in _NAME_OF}


class _RecordReader:
    """Reader of one record.

    Attributes:
        notes: the notes, in order and without repetition.
        messages: the messages that were read.
        origins: the path of each message in the record.
        read: the columns that were read.
        unread: the columns that were not read.
        tool_nulls: the treatment of nulls in tools, if it is known.
        unchanged: whether the record is what an encoder reads.
    """

    def __init__(self, record: Any, shape: Shape | None, arguments: Arguments) -> None:
        self.is_list = isinstance(as_list(record), list)
        self.unchanged = type(record) is dict
        self.read: set[str] = set()
        self.unread: list[str] = []
        self.tool_nulls: NullCleaning | None = None
        self.fields: dict[str, Any] = {}
        if shape is None:
            shape = detect_shape(record)
        else:
            check_options(shape=shape)
        self.shape = shape
        self.turns = TurnReader(shape, decode=arguments == "decode")
        self.notes, self.note = self.turns.notes, self.turns.note
        try:
            self.record = self._as_record(record)
            read = getattr(self, f"_read_{shape.replace('-', '_')}")
            self.messages: list[Any]
            self.origins: list[FieldPath]
            self.messages, self.origins = read()
            if not self.messages:
                raise FieldError("contains no messages", ("messages",) if shape == "messages" else ())
            self._read_flags()
            self._read_others()
            self._find_unread()
            others = ({**self.record, **self.fields}.get(name) for name in ("tools", "documents"))
            kept = {"nulls_kept": self.turns.from_json, "tool_nulls_kept": self.tool_nulls == "never"}
            self.notes.update(dict.fromkeys(notes_on_fields(self.messages, *others, **kept)))
        except FieldError as error:
            raise self._moved(error, error.path) from None

    def conversation(self, clean_nulls: NullCleaning) -> Conversation:
        """Return the conversation; errors have the path in the record."""
        rest = {key: value for key, value in self.record.items() if key not in self.read}
        data = {**rest, **self.fields, "messages": self.messages}
        try:
            tool_nulls = clean_nulls if self.tool_nulls is None or clean_nulls != "auto" else self.tool_nulls
            kept = clean_nulls == "auto" and self.turns.from_json
            return Conversation.coerce(data, clean_nulls="never" if kept else clean_nulls, tool_nulls=tool_nulls)
        except FieldError as error:
            raise self._moved(error, self._path(error.path)) from None

    def _moved(self, error: FieldError, path: FieldPath) -> FieldError:
        """Return an error with the path in the record, which may be the list of messages itself."""
        return error.moved(path[1:] if self.is_list else path)

    def _path(self, path: FieldPath) -> FieldPath:
        """Return the path in the record for a path in the conversation."""
        if path[:1] != ("messages",):
            return path
        if len(path) < 2 or not isinstance(path[1], int):
            return path if self.shape == "messages" else ()
        return (*self.origins[path[1]], *path[2:])

    # -- shapes

    def _as_record(self, record: Any) -> dict[str, Any]:
        items = as_list(record)
        if isinstance(items, list):
            if self.shape not in ("messages", "sharegpt"):
                raise FieldError(f"a record of shape {self.shape!r} must be an object, not a list")
            return {MARKS[self.shape][0]: items}
        given = as_dict(record)
        if given is None:
            raise FieldError(f"a conversation is a JSON object or a list of messages, not {type(record).__name__}")
        return given

    def _mark(self, position: int) -> str:
        """Return the column of the record for a column of the shape, and count it as read."""
        names = next(shape.columns for shape in SHAPES if shape.name == self.shape)[position]
        if self.record.get(names[0]) is not None:
            found = [names[0]]
        else:
            found = [key for key, value in self.record.items() if value is not None and folded(key) in names]
            found = [key for key in found if key not in self.read]
        if not found:
            present = found_keys(key for key, value in self.record.items() if value is not None)
            raise FieldError(f"a record of shape {self.shape!r} needs the key {names[0]!r}", hint=present)
        if len(found) > 1:
            raise FieldError(
                f"the columns {' and '.join(map(repr, found))} could each be the {names[0]}",
                hint=f"rename the right one to {names[0]!r}",
            )
        if found[0] != names[0]:
            self.note(NoteKind.READ_AS, found[0], names[0])
        self.read.update((found[0], names[0]))
        return found[0]

    def _column(self, names: tuple[str, ...]) -> str | None:
        """Return the first column of some names that has a value, and count it as read."""
        found = next((key for key, value in self.record.items() if value is not None and folded(key) in names), None)
        if found is not None:
            self.read.add(found)
            if found != names[0]:
                self.note(NoteKind.READ_AS, found, names[0])
        return found

    def _read_messages(self) -> tuple[list[Any], list[FieldPath]]:
        key = self._mark(0)
        messages = self.turns.turns(self.record[key], (key,), "messages")
        self.unchanged = self.unchanged and messages is self.record[key]
        return messages, [(key, index) for index in range(len(messages))]

    def _read_sharegpt(self) -> tuple[list[Any], list[FieldPath]]:
        """Read ``conversations: [{from, value}]``; turns that are already messages are kept as they are."""
        key = self._mark(0)
        self.unchanged = False
        turns = self.turns.turns(self.record[key], (key,), "turns")
        return turns, [(key, index) for index in range(len(turns))]

    def _read_alpaca(self) -> tuple[list[Any], list[FieldPath]]:
        """Read ``instruction``, ``input`` and ``output``, with an optional ``history`` of pairs.

        The input follows the instruction on a new line, as in LLaMA-Factory.
        """
        self.unchanged = False
        messages: list[dict[str, Any]] = []
        origins: list[FieldPath] = []
        instruction, output = self._mark(0), self._mark(1)
        more, history = self._column(spellings.INPUT), self._column(spellings.HISTORY)
        given = None if history is None else self.record[history]
        pairs = as_list(given) or []
        if isinstance(given, str):
            pairs = json_of(given, list) if given.strip() else []
        if not isinstance(pairs, list):
            raise FieldError("must be a list of pairs of strings, a question and its answer", (str(history),))
        for index, pair in enumerate(pairs):
            pair = as_list(pair)
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
                raise FieldError("must be a pair of strings, a question and its answer", (str(history), index))
            messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
            origins += [(str(history), index)] * 2
        asked = [self._text(instruction), "" if more is None else self._text(more)]
        messages.append({"role": "user", "content": "\n".join(filter(None, asked))})
        messages.append({"role": "assistant", "content": self._text(output)})
        return messages, [*origins, (instruction,), (output,)]

    def _read_prompt_completion(self) -> tuple[list[Any], list[FieldPath]]:
        """Read ``prompt`` and ``completion``, each a string or a list of messages.

        Only the completion is meant for training, so assistant messages of the prompt without a flag get
        ``train: false``.
        """
        self.unchanged = False
        messages: list[Any] = []
        origins: list[FieldPath] = []
        for position, role in enumerate(("user", "assistant")):
            key = self._mark(position)
            value = as_list(self.record[key])
            if isinstance(value, str):
                value = self._messages_in(value, key) or value
            elif as_dict(value) is not None:
                value = [value]
            if position and _are_calls(value):
                messages += self.turns.turns([{"role": role, "content": "", "tool_calls": value}], (key,), "messages")
                origins.append((key,))
            elif isinstance(value, str):
                messages.append({"role": role, "content": value})
                origins.append((key,))
            elif isinstance(value, list):
                turns = self.turns.turns(value, (key,), "messages")
                messages += turns if position else map(_untrained, turns)
                origins += [(key, index) for index in range(len(turns))]
            else:
                raise FieldError(f"must be a string or a list of messages, not {type(value).__name__}", (key,))
        return messages, origins

    def _messages_in(self, text: str, key: str) -> list[Any] | None:
        """Return the messages in a string of JSON, or the calls in that of a completion; None if it is a text."""
        value = json_of(text, list)
        if not value or not all(isinstance(item, dict) for item in value):
            return None
        if all(any(sender in item for sender in spellings.SENDER_KEYS) for item in value) or _are_calls(value):
            self.note(NoteKind.READ_AS, key, "JSON")
            return list(value)
        return None

    def _text(self, key: str) -> str:
        """Return the string at a key; null and absent give the empty string."""
        value = self.record.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise FieldError(f"must be a string, not {type(value).__name__}", (key,))
        return value

    # -- flags

    def _read_flags(self) -> None:
        """Apply the flags of the row to its messages."""
        for key, value in self.record.items():
            if value is None or not isinstance(key, str) or key in self.read:
                continue
            name = folded(key)
            if name in spellings.FLAGS:
                self._row_flag(key, name, value)
            elif name in spellings.KTO_LABELS and (wanted := self._wanted(name, value)) is not None:
                self.read.add(key)
                if not wanted:
                    self._exclude(key, [False] * len(self.messages))
                    self.note(NoteKind.NOT_TRAINED, key)

    def _wanted(self, name: str, value: Any) -> bool | None:
        """Return the label of unpaired preference data, true for a wanted answer; None for any other label."""
        if isinstance(value, bool):
            return value
        if self.shape != "prompt-completion" and name != "kto_tag":
            return None
        flag = spellings.flag_of_text(value) if isinstance(value, str) else value
        return bool(flag) if isinstance(flag, (bool, int)) and flag in (0, 1) else None

    def _row_flag(self, key: str, name: str, value: Any) -> None:
        if isinstance(value, str):
            value = spellings.flag_of_text(value)
            if value is None:
                return  # a word, such as the name of a split
        values = as_list(value)
        if not isinstance(values, list):
            if (type(value) in (bool, int) and value in (0, 1)) or name not in spellings.ROW_NUMBERS:
                meaning = flag_meaning(name, value, (key,))
                self.read.add(key)
                if meaning is False:
                    self._exclude(key, [False] * len(self.messages))
                    self.note(NoteKind.NOT_TRAINED, key)
            return
        self.read.add(key)
        answers = [at for at, message in enumerate(self.messages) if _role_of(message) == "assistant"]
        if len(values) == len(self.messages):
            places = list(range(len(values)))
        elif len(values) == len(answers):
            places = answers
        else:
            raise FieldError(
                f"has {len(values)} values for {len(self.messages)} messages, {len(answers)} of them the assistant's",
                (key,),
                hint="set train: true or false on each assistant message",
            )
        meanings: list[bool | None] = [None] * len(self.messages)
        for at, given in zip(places, values, strict=True):
            if given is not None:
                meanings[at] = flag_meaning(name, given, (key,))
        self.note(NoteKind.READ_AS, key, "train")
        self._exclude(key, meanings)

    def _exclude(self, key: str, meanings: list[bool | None]) -> None:
        """Set ``train`` on the assistant messages; their own flags may not contradict."""
        self.unchanged = False
        messages = list(self.messages)
        for at, meaning in enumerate(meanings):
            message = as_dict(messages[at])
            if meaning is None or message is None:
                continue
            if _role_of(message) != "assistant":
                if meaning:
                    self.note(NoteKind.FLAG_WITHOUT_EFFECT, key)
                continue
            own = message.get("train")
            if own is None and message.get("weight") is not None:
                own = message["weight"] != 0
            if own is not None and bool(own) != meaning and not (self.shape == "prompt-completion" and own is False):
                raise FieldError(f"contradicts the flag of {'.'.join(map(str, self.origins[at]))}", (key,))
            if own is None:
                messages[at] = {**message, "train": meaning}
        self.messages = messages

    # -- next to the messages

    def _read_others(self) -> None:
        """Read the system prompt, tools, documents and template kwargs, by every name of their columns."""
        systems: dict[str, str] = {}
        tools: dict[str, Any] = {}
        for key, target in _column_roles(tuple(self.record)).items():
            value = self.record[key]
            if key in self.read or value is None:
                continue
            if target == "system":
                self.read.add(key)
                if text := self._text(key):
                    systems[key] = text
            elif target == "tools":
                self._add_tools(tools, key, value)
            elif target == "functions":
                self._add_tools(tools, key, value, wrap=True)
            elif target in ("documents", "chat_template_kwargs"):
                self._read_decoded(key, value, list if target == "documents" else dict)
        self._read_kwargs(tools)
        self._set_tools(tools)
        self._set_system(systems)

    def _set_system(self, systems: dict[str, str]) -> None:
        if not systems:
            return
        key, text = next(iter(systems.items()))
        if len(set(systems.values())) > 1:
            raise FieldError(f"differs from {key!r}", (list(systems)[1],), hint="keep only one")
        if key != "system" or self.shape == "messages":
            self.note(NoteKind.READ_AS, key, "the system message")
        first = as_dict(self.messages[0])
        if first is not None and first.get("role") in ("system", "developer"):
            if first.get("content") == text:
                self.unchanged = False
                return
            raise FieldError("the conversation also starts with a system turn", (key,), hint="keep only one")
        self.unchanged = False
        self.messages = [{"role": "system", "content": text}, *self.messages]
        self.origins = [(key,), *self.origins]

    def _add_tools(self, tools: dict[str, Any], key: str, value: Any, *, wrap: bool = False) -> None:
        self.read.add(key)
        decoded = decoded_tools(value)
        if decoded is not value:
            self.tool_nulls = "never"
            if key != "tools":
                self.note(NoteKind.READ_AS, key, "JSON")
        if wrap and isinstance(decoded, list):
            decoded = [_as_tool(function) for function in decoded]
        tools[key] = decoded

    def _set_tools(self, tools: dict[str, Any]) -> None:
        filled = {key: value for key, value in tools.items() if value}
        if not filled:
            filled = dict(list(tools.items())[:1])
        if not filled:
            return
        key, value = next(iter(filled.items()))
        for other, more in filled.items():
            if more != value:
                raise FieldError(f"differs from {key!r}", (other,), hint="keep only one")
        if key != "tools":
            self.note(NoteKind.READ_AS, key, "tools")
        if value is not self.record.get("tools"):
            self.unchanged = False
        self.fields["tools"] = value

    def _read_decoded(self, key: str, value: Any, kind: type) -> None:
        self.read.add(key)
        if isinstance(value, str):
            decoded = json_of(value, kind) if value.strip() else kind()
            if decoded is not None:
                self.unchanged = False
                value = decoded
        self.fields[key] = value

    def _read_kwargs(self, tools: dict[str, Any]) -> None:
        """Read ``tools`` and ``documents`` in the template kwargs as the fields that they are for transformers."""
        kwargs = self.fields.get("chat_template_kwargs")
        if not isinstance(kwargs, dict) or not ("tools" in kwargs or "documents" in kwargs):
            return
        self.unchanged = False
        rest = {key: value for key, value in kwargs.items() if key not in ("tools", "documents")}
        self.fields["chat_template_kwargs"] = rest
        if kwargs.get("tools") is not None:
            self._add_tools(tools, "chat_template_kwargs.tools", kwargs["tools"])
        if (
            kwargs.get("documents") is not None
            and self.fields.setdefault("documents", kwargs["documents"]) != (kwargs["documents"])
        ):
            raise FieldError("differs from 'documents'", ("chat_template_kwargs", "documents"), hint="keep only one")

    def _find_unread(self) -> None:
        """Note the columns that were not read."""
        for key, value in self.record.items():
            if key in self.read or (key in _FIELDS and key != "template"):
                continue
            if key != "template":
                self.unread.append(key)
            for note in _unread_notes(key, value, self.messages):
                if key != "template" or note.kind is NoteKind.UNREAD_COLUMN:
                    self.notes[note] = None


def _role_of(message: Any) -> Any:
    given = as_dict(message)
    return None if given is None else given.get("role")


def _untrained(message: Any) -> Any:
    given = as_dict(message)
    if given is None or given.get("role") != "assistant":
        return message
    flagged = any(given.get(flag) is not None for flag in spellings.CANONICAL_FLAGS)
    return message if flagged else {**given, "train": False}


def _are_calls(value: Any) -> bool:
    """Return true for a completion that is a list of tool calls, as in function-calling data."""
    calls = value if isinstance(value, list) else []
    names = ({"name", arguments} for arguments in spellings.ARGUMENT_KEYS)
    return bool(calls) and any(all(isinstance(call, dict) and call.keys() == keys for call in calls) for keys in names)


def _as_tool(function: Any) -> Any:
    given = as_dict(function)
    if given is None or "name" not in given:
        return function
    return {"type": "function", "function": given}
