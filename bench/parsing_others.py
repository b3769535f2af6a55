"""Other readers of completions, for `parsing.py`: llama.cpp, which derives a parser too, and transformers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chattmpl import Template
from chattmpl.errors import ChatTmplError


class Reading(NamedTuple):
    """The parts of a message: its content and trace without white space around them, and its calls."""

    content: str
    trace: str
    calls: tuple[tuple[str, Any], ...]


Reader = Callable[[Sequence[str]], Iterator[Reading | None]]
"""A function that reads completions of one template; None is a refusal."""


def reading(content: str | None, trace: str | None, calls: Sequence[tuple[str, Any]]) -> Reading:
    """Return the parts of a message in a form that can be compared."""
    return Reading(
        (content or "").strip(), (trace or "").strip(), tuple((name, _value(given)) for name, given in calls)
    )


def _value(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


class LlamaCpp:
    """The filter that `llama_cpp.sh` builds, as a process that answers one request a line."""

    def __init__(self, driver: Path) -> None:
        self.driver = driver.resolve()
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [self.driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request; ``error`` if there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self._start()
            return {"error": "the process died"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def reader(self, template: Template, question: str, prompt: str, tools: list[dict[str, Any]]) -> Reader | None:
        """Return llama.cpp's own reader of a template's completions; None if it renders another generation prompt.

        It sets kwargs such as ``enable_thinking`` itself, so a prompt may be that of another mode.
        """
        tokens = {name: template.tokens.get(f"{name}_token") or "" for name in ("bos", "eos")}

        given = {"template": template.source, "question": question, **tokens, **({"tools": tools} if tools else {})}
        theirs = self.ask(**given, completions=[]).get("prompt")
        if theirs is not None and theirs.rpartition(question)[2] != prompt.rpartition(question)[2]:
            return None

        def read(texts: Sequence[str]) -> Iterator[Reading | None]:
            answer = self.ask(**given, completions=list(texts))
            for message in answer.get("messages", [{"error": "no template"}] * len(texts)):
                if "error" in message:
                    yield None
                else:
                    calls = [(call["name"], call["arguments"]) for call in message["calls"]]
                    yield reading(message["content"], message["reasoning"], calls)

        return read


def transformers_reader(response: dict[str, Any], prompt: str, tools: list[dict[str, Any]]) -> Reader:
    """Return transformers' reader of completions with a response template."""
    from transformers.utils.chat_parsing.response_parser import parse_response

    def read(texts: Sequence[str]) -> Iterator[Reading | None]:
        for text in texts:
            try:
                message = parse_response(text, response, prefix=prompt, tools=tools or None)
                functions = [call["function"] for call in message.get("tool_calls") or []]
                calls = [(function["name"], function["arguments"]) for function in functions]
            except Exception:
                yield None
            else:
                yield reading(message.get("content"), message.get("reasoning_content", message.get("thinking")), calls)

    return read


def shipped_response_template(source: str) -> dict[str, Any] | None:
    """Return the response template that trl ships for a template; None if it ships none."""
    import tokenizers
    import transformers
    from trl.chat_template_utils import add_response_schema

    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.chat_template = source
    try:
        return dict(add_response_schema(tokenizer).response_template)
    except (ValueError, AttributeError, TypeError):
        return None


def derived_response_template(template: Template) -> dict[str, Any] | None:
    """Return the response template that chattmpl derives; None if it refuses."""
    from chattmpl.parse.response_template import response_template

    try:
        return response_template(template).data
    except ChatTmplError:
        return None


def cut_off(text: str, opener: str) -> Iterator[str]:
    """Yield completions that end inside a call, which no grammar should accept."""
    if opener in text:
        start = text.rfind(opener) + len(opener)
        yield from (text[:end] for end in range(start, len(text), max(1, (len(text) - start) // 6)))
        yield text + opener
