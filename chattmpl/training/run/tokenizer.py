"""The tokenizer of a run, and the tokens that its template needs: control tokens, stop tokens, special tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.encode.tokenizer_loader import DEMO, DEMO_FILE
from chattmpl.errors import ChatTmplError, EncodeError, UsageError
from chattmpl.template.template import Template
from chattmpl.training.adapter.completions import raw_tokenizer, stop_ids

_PADS = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>")
_CONTROL = re.compile(r"<[|｜][^<>|｜\s{}]{1,40}[|｜]>")
"""What looks like a control token, in the source of a template of which no more is known."""

Note = Callable[[str], None]


def load_tokenizer(name: str) -> Any:
    """A tokenizer as transformers has it.

    Args:
        name: ``demo``, a tokenizer.json, a model directory or a hub id.

    Raises:
        EncodeError: it cannot be loaded.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = DEMO_FILE if name == DEMO else Path(name)
    try:
        if path.is_dir() and not (path / "tokenizer_config.json").is_file() and (path / "tokenizer.json").is_file():
            path = path / "tokenizer.json"
        if path.is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
        else:
            tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise EncodeError(
            f"the tokenizer {name!r} cannot be loaded: {said}",
            hint="tokenizer: a tokenizer.json, a model directory or a hub id",
        ) from None
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncodeError(f"the tokenizer {name!r} has no tokenizer.json", hint="save it as a fast tokenizer")
    return tokenizer


def add_missing(template: Template, tokenizer: Any, add: bool | None, note: Note) -> int:
    """Looks for the control tokens of the template in the tokenizer, and adds those that are missing, if asked to.

    Those that a plain conversation is written with have to be there. Others, such as those of tools, are several tokens
    each where the tokenizer does not have them, as in some models whose template writes them.

    Args:
        template: the template.
        tokenizer: it is changed.
        add: whether to add them; False leaves all as several tokens but for those that end a turn.
        note: is told what was added, and what was left.

    Returns:
        How many were added.

    Raises:
        UsageError: some that have to be there are missing.
    """
    raw = raw_tokenizer(tokenizer)
    missing = [token for token in _written(template) if raw.token_to_id(token) is None]
    if missing and add:
        tokenizer.add_tokens(missing, special_tokens=True)
        note(f"added to the tokenizer: {', '.join(missing)}")
        return len(missing)
    frame = _frame(template)
    needed = [token for token in missing if token in frame]
    if needed and add is None:
        raise UsageError(
            f"the tokenizer does not have {_listed(needed)}, which {template.name} writes",
            hint="add_tokens: true adds them as special tokens, and rows for them to the embeddings of the model; "
            "add_tokens: false writes them as several tokens each",
        )
    if missing and add is None:
        note(f"{', '.join(missing)}: several tokens each in this tokenizer; add_tokens: true makes each of them one")
    return 0


def _written(template: Template) -> list[str]:
    """The control tokens that the template may write."""
    if template.family is not None:
        generation = template.family.generation
        return list(dict.fromkeys((*generation.control_tokens, *generation.stop_tokens)))
    # What the template writes itself; comments may name others.
    return list(dict.fromkeys(_CONTROL.findall(re.sub(r"\{#.*?#\}", "", template.source, flags=re.DOTALL))))


def _frame(template: Template) -> str:
    """What plain conversations are written with: a system message or none, a trace, and a prompt."""
    asked = [{"role": "user", "content": "?"}]
    answer = {"role": "assistant", "content": "so", "reasoning_content": "why"}
    texts = []
    for before in ([], [{"role": "system", "content": "Be."}]):
        for messages, prompt in (([*before, *asked], True), ([*before, *asked, answer], False)):
            try:
                texts.append(template.render(messages, prompt, datetime(2025, 1, 1)).text)
            except ChatTmplError:  # it has no system messages, or wants more than this
                continue
    return "".join(texts)


def _listed(tokens: Sequence[str]) -> str:
    word = "the control token" if len(tokens) == 1 else "the control tokens"
    return f"{word} {', '.join(tokens)}"


def aligned(template: Template, tokenizer: Any, note: Note) -> Template:
    """The template and the tokenizer with the same special tokens, so that both render one text.

    A template that is rendered by transformers gets ``bos_token`` and the like from the tokenizer. So a family's are
    given to the tokenizer, and any other template takes those of the tokenizer.

    Raises:
        UsageError: the tokenizer does not have a special token of the family.
    """
    read = sorted(name for name in template.program.variables if name.endswith("_token"))
    theirs = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    if template.family is None:
        tokens = {**template.tokens, **theirs}
        return Template(replace(template.found, tokens=tokens), template.retention, template.budget)
    for name in read:
        ours = template.tokens.get(name)
        if (ours or None) == theirs.get(name):
            continue
        if ours and raw_tokenizer(tokenizer).token_to_id(ours) is None:
            raise UsageError(
                f"{template.name} writes {ours!r} as its {name}, which the tokenizer does not have",
                hint="add it to the tokenizer, or take the template of the model",
            )
        setattr(tokenizer, name, ours or None)
        note(f"the tokenizer's {name} is {ours!r} now, as {template.name} writes it, and not {theirs.get(name)!r}")
    return template


def stops_of(template: Template, given: Sequence[str]) -> list[str]:
    """What ends the assistant's turns: as it was said, or as the family, the proof or a rendering tells.

    Raises:
        UsageError: none is known.
    """
    if given:
        return list(given)
    if template.family is not None:
        return list(template.family.generation.stop_tokens)
    if template.proof is not None:
        return list(template.proof.stops)
    rendering = template.render([{"role": "user", "content": "?"}, {"role": "assistant", "content": "so"}])
    for start, end in rendering.generated:
        text = rendering.text[start:end]
        tail = text[text.rfind("so") + 2 :]
        if tail and not tail.isspace() and not any(char.isspace() for char in tail):
            return [tail]
    raise UsageError(
        f"it is not known what ends a turn of the assistant in {template.name}", hint="stop_tokens: ['<|im_end|>']"
    )


def settle(template: Template, tokenizer: Any, stops: Sequence[str]) -> dict[int, str]:
    """The ids of the stop tokens; the tokenizer gets a token to pad with and one that ends texts, if it has none.

    Raises:
        UsageError: the tokenizer has no stop token.
    """
    found = stop_ids(template, tokenizer, None if template.family is not None else stops)
    if template.family is not None and list(stops) != list(template.family.generation.stop_tokens):
        found = stop_ids(template, tokenizer, stops)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = next(iter(found.values()))
    if tokenizer.pad_token is None:
        raw = raw_tokenizer(tokenizer)
        known = [pad for pad in _PADS if raw.token_to_id(pad) is not None and raw.token_to_id(pad) not in found]
        tokenizer.pad_token = known[0] if known else tokenizer.eos_token
    return found
