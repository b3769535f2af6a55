"""Cases in which the mask of the installed transformers is wrong, next to the mask of chattmpl.

    python bench/transformers_masks.py

For each case both encode the same conversation with the same template and tokenizer, made on the spot. A mask is right
if the masked tokens decode to what the assistant wrote, as far as tokens allow: a token that also holds text of the
template is not trained. Prints what the masked tokens decode to, or the error.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import transformers
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chattmpl import Template

Messages = list[dict[str, Any]]

CONTROL = ("<u>", "<a>", "</s>")
FRAME = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<a>{% generation %}{{ m.content }}</s>{% endgeneration %}"
    "{% else %}<u>{{ m.content }}</s>{% endif %}{% endfor %}"
)
BARE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
SPACED = BARE.replace("{% else %}{{ m.content }}", "{% else %}<u>{{ m.content }}<a>")
COLON = BARE.replace("{% generation %}", "role:{% generation %}")
SET_BLOCK = FRAME.replace("<a>{% generation %}", "{% set answer %}{% generation %}").replace(
    "{% endgeneration %}", "{% endgeneration %}{% endset %}<a>{{ answer }}"
)


def user(content: str) -> dict[str, Any]:
    """Return a message of the user."""
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    """Return a message of the assistant."""
    return {"role": "assistant", "content": content}


def byte_level(
    *, merges: tuple[tuple[str, str], ...] = (), rstrip: bool = False, drops_spaces: bool = False
) -> Tokenizer:
    """Return a tokenizer of bytes with three control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {char: index for index, char in enumerate(alphabet)}
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    split: list[Any] = [pre_tokenizers.WhitespaceSplit()] if drops_spaces else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, rstrip=rstrip, normalized=False) for text in CONTROL])
    return tokenizer


@dataclass(frozen=True)
class Case:
    """A conversation whose mask is known.

    Attributes:
        name: what is particular about it.
        messages: the conversation.
        right: what the masked tokens decode to, if the mask is right.
        template: the template.
        tokenizer: the tokenizer.
        threads: number of threads that encode it at the same time, each another answer.
    """

    name: str
    messages: Messages
    right: str
    template: str = FRAME
    tokenizer: Callable[[], Tokenizer] = byte_level
    threads: int = 1

    def of_thread(self, thread: int) -> Messages:
        """Return the conversation of a thread, whose answer is repeated once more than that of the one before."""
        *others, answer = self.messages
        return [*others, {**answer, "content": answer["content"] * (thread + 1)}]


CASES = (
    Case("the answer is the first token", [assistant("A"), user("q")], "A", BARE),
    Case("the answer is empty and comes first", [assistant(""), user("q")], "", BARE),
    *(
        Case(
            name,
            [user("q"), assistant(answer), user("r"), assistant("no")],
            "yesno",
            SPACED,
            partial(byte_level, drops_spaces=True),
        )
        for name, answer in {
            "the answer ends with a space that the tokenizer drops": "yes ",
            "the answer begins with such a space": " yes",
        }.items()
    ),
    Case("the tag is in a {% set %} block", [user("q"), assistant("yes")], "yes</s>", SET_BLOCK),
    Case(
        "a token holds text of the template and of the answer",
        [user("q"), assistant(":) ok")],
        ") ok",
        COLON,
        partial(byte_level, merges=((":", ":"),)),
    ),
    Case(
        "a control token takes the space after it",
        [user("q"), assistant(" ok")],
        "ok</s>",
        tokenizer=partial(byte_level, rstrip=True),
    ),
    Case("the answer holds a control token", [user("q"), assistant("no</s><u>more")], "no</s><u>more</s>"),
    Case("eight threads", [user("q"), assistant("yes")], "yes</s>", threads=8),
)


def masked(tokenizer: PreTrainedTokenizerFast, ids: list[int], mask: list[int]) -> str:
    """Return what the masked tokens decode to, and the number of control tokens among them."""
    trained = [token for token, value in zip(ids, mask, strict=True) if value]
    control = sum(token in tokenizer.all_special_ids for token in trained)
    return f"{tokenizer.decode(trained)!r}{f', {control} control' if control else ''}"


def theirs(case: Case) -> str:
    """Return the result of transformers."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=case.tokenizer(), extra_special_tokens=list(CONTROL))

    def encode(thread: int) -> str:
        encoded = tokenizer.apply_chat_template(
            case.of_thread(thread), chat_template=case.template, return_dict=True, return_assistant_tokens_mask=True
        )
        return masked(tokenizer, list(encoded["input_ids"]), list(encoded["assistant_masks"]))

    return _in_threads(encode, case.threads)


def ours(case: Case) -> str:
    """Return the result of chattmpl."""
    template, tokenizer = Template.from_source(case.template), case.tokenizer()
    decoder = PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=list(CONTROL))

    def encode(thread: int) -> str:
        encoding = template.render(case.of_thread(thread)).encode(tokenizer)
        straddles = f", {len(encoding.straddles)} straddle reported" if encoding.straddles else ""
        return masked(decoder, encoding.input_ids, encoding.assistant_masks) + straddles

    return _in_threads(encode, case.threads)


def _in_threads(encode: Callable[[int], str], threads: int) -> str:
    """Return the result of one thread; with several, how many repetitions of their answers are as without others."""

    def attempt(thread: int) -> str:
        try:
            return encode(thread)
        except Exception as error:
            return f"{type(error).__name__}: {error}".partition("\n")[0]

    if threads == 1:
        return attempt(0)
    expected = [attempt(thread) for thread in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(attempt, [*range(threads)] * 200))
    same = sum(one == other for one, other in zip(found, expected * 200, strict=True))
    return f"{same} of {len(found)} as in one thread"


def main() -> None:
    """Print the table."""
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    sys.setswitchinterval(1e-5)
    table = Table("case", "right", f"transformers {transformers.__version__}", "chattmpl", show_lines=True)
    for case in CASES:
        table.add_row(*map(escape, (case.name, repr(case.right), theirs(case), ours(case))))
    Console(soft_wrap=True, width=170).print(table)


if __name__ == "__main__":
    main()
