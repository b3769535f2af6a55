import re
from collections import Counter
from difflib import SequenceMatcher

from chattmpl.lint.rule import Edit, Findings, LintContext, Rule

_TOKEN = re.compile(r"<\|?/?[A-Za-z_]+\|?>|<｜[^｜<>\s]{3,40}｜>")
_KNOWN = frozenset(
    {
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|endoftext|>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<|START_OF_TURN_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|assistant|>",
        "<|system|>",
        "<|user|>",
        "<|message|>",
        "<|channel|>",
        "<|return|>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
    }
)
_TOO_FAR = 3
"""The smallest difference in length, in characters, that cannot be a typo."""


def _slip(token: str, meant: str) -> bool:
    """Return whether two tokens differ by one character inserted, deleted or replaced, or by two swapped ones."""
    if token.rstrip("|>").rstrip("s") == meant.rstrip("|>") and token.startswith(("</", "<t")):
        return False
    # A closing token is not a misspelled opening token: </user>, and also <|/user|>.
    if abs(len(token) - len(meant)) >= _TOO_FAR - 1 or ("/" in token) != ("/" in meant):
        return False
    codes = [code for code in SequenceMatcher(None, token, meant, autojunk=False).get_opcodes() if code[0] != "equal"]
    changed = sum(max(one_end - one, other_end - other) for _, one, one_end, other, other_end in codes)
    # Two swapped characters count as one insertion and one deletion.
    return changed == 1 or (changed == 2 and len(codes) == 2 and sorted(token) == sorted(meant))


class MisspeltToken(Rule):
    """A misspelled control token.

    Reports tokens such as `<|im_ends|>` that differ by one character from a well-known control token that the template
    writes elsewhere.

    ## Why is this bad?

    A token that is not in the vocabulary is split into ordinary tokens. Engines do not stop there, and parsers do not
    find it.
    """

    example = (
        r"{{ '<|im_start|>user\n' + question + '<|im_end|>' }}{{ '<|im_start|>assistant\n' + answer + '<|imend|>' }}"
    )
    use_instead = (
        r"{{ '<|im_start|>user\n' + question + '<|im_end|>' }}{{ '<|im_start|>assistant\n' + answer + '<|im_end|>' }}"
    )
    severity = "error"
    message = "{written} resembles {intended}, which the template writes elsewhere"
    hint = "did you mean {intended}?"

    def check(self, subject: LintContext) -> Findings:
        written = Counter(token for _, text in subject.data for token in _TOKEN.findall(text))
        for token in sorted(written):
            meant = [other for other in sorted(_KNOWN & written.keys()) if token not in _KNOWN and _slip(token, other)]
            if meant:
                yield self.finding(
                    subject.first(re.escape(token)),
                    written=token,
                    intended=meant[0],
                    intended_edits=[
                        Edit(match.start(), match.end(), meant[0])
                        for match in re.finditer(re.escape(token), subject.source.text)
                    ],
                )
