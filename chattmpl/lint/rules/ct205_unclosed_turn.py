import re
from itertools import pairwise

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule
from chattmpl.template.special_tokens import CONTROL


def _frame(subject: LintContext) -> tuple[str | None, frozenset[str]]:
    """Return the token that opens turns and those that close them, learned from two plain turns."""
    rendering = subject.probe.render("turns")
    if rendering is None:
        return None, frozenset()
    contents = {span.message: span for span in rendering.spans if span.message is not None and span.field != "role"}
    if not contents.keys() >= {0, 1, 2, 3}:
        return None, frozenset()
    between = [CONTROL.findall(rendering.text[contents[n].end : contents[n + 1].start]) for n in range(3)]
    if any(len(tokens) < 2 for tokens in between):
        return None, frozenset()
    # The closing token comes first after a text, the opening token second. Only such frames are checked.
    openers = {tokens[1] for tokens in between}
    closers = frozenset(tokens[0] for tokens in between)
    # A token that occurs several times in a turn does not open it. The template may add one turn itself.
    once = all(0 <= rendering.text.count(opener) - len(between) - 1 <= 1 for opener in openers)
    return (openers.pop(), closers) if once and len(openers) == 1 and not openers & closers else (None, frozenset())


_OTHERS = 2
_OWN_END = frozenset({"<|return|>", "<|call|>", "<|eom_id|>", "<|eom|>", "</s>", "<eos>", "<|observation|>"})
_CLOSING = re.compile(rf"(?:{CONTROL.pattern})$")


class UnclosedTurn(Rule):
    """A turn is not closed before the next one opens.

    Learns from the user's turns which control tokens open and close a turn, and reports a system turn or a tools
    section that opens but does not close.

    Also reports a system message, question or answer that lacks the token which closes the two others, and consecutive
    tool results of which the second opens a turn inside the turn of the first, or is outside any turn.

    ## Why is this bad?

    The next turn begins inside the previous one. Parsers and the model take, for example, the user's first question as
    part of the system message.
    """

    example = r"<|im_start|>system\n{{ system }}{{ '<|im_start|>user\n' + question + '<|im_end|>' }}"
    use_instead = r"<|im_start|>system\n{{ system }}<|im_end|>{{ '<|im_start|>user\n' + question + '<|im_end|>' }}"
    severity = "warning"
    message = {
        "next-opens": "a turn opens with {turn}, and the next one opens before it is closed",
        "nested-result": "the second of two consecutive tool results opens a turn inside the turn of the first",
        "loose-result": "the second of two consecutive tool results is outside any turn",
        "not-closed": "{what} is not closed: the next turn opens directly after it",
        "other-close": "{what} is not closed with {tokens}, as other turns are",
    }
    hint = {
        "next-opens": "write {tokens} at its end",
        "nested-result": "close the turn of the results after the last one, and open it before the first",
        "loose-result": "close the turn of the results after the last one, and open it before the first",
        "not-closed": "write {tokens} at its end",
        "other-close": "write {tokens} at its end",
    }
    explains = ("CT204:line",)
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        voted = list(self._voted(subject)) or list(self._plain(subject))
        yield from voted
        if voted:
            return
        opener, closers = _frame(subject)
        if opener is None:
            yield from self._by_prompt(subject)
            return
        for name in ("turn", "system", "tools", "calls", "late_system"):
            rendering = subject.probe.render(name)
            opened: int | None = None
            for match in CONTROL.finditer(rendering.text) if rendering else ():
                before = rendering.text[: match.start()].rstrip() if rendering else ""
                # A tool call may be closed with its own token, as the text directly before an opening token shows.
                closed = opened is not None and _CLOSING.search(before, opened + 1) is not None
                if match[0] in closers or (match[0] == opener and closed and name in ("calls", "late_system")):
                    opened = None
                if match[0] in closers:
                    continue
                if match[0] == opener:
                    if opened is not None and rendering is not None:
                        yield self.finding(
                            subject.blame(rendering, opened),
                            "next-opens",
                            turn=Quoted(rendering.text[opened : opened + 24]),
                            tokens=" or ".join(sorted(closers)),
                        )
                    opened = match.start()
        yield from self._results(subject, opener, closers)

    def _results(self, subject: LintContext, opener: str, closers: frozenset[str]) -> Findings:
        """Yield a finding if the second of two consecutive results is outside a turn, or opens a nested one."""
        rendering = subject.probe.render("parallel")
        if rendering is None:
            return
        start, end = (rendering.text.find(word) for word in ("Result raspberry", "Result rhubarb"))
        between = CONTROL.findall(rendering.text[start:end]) if 0 <= start < end else []
        opens, closes = between.count(opener), sum(between.count(closer) for closer in closers)
        headed = opener in rendering.text[rendering.text.find("righttusk") + 1 : max(start, 0)]
        if not headed or opens == closes:
            return
        yield self.finding_in(subject, rendering, end - 1, "nested-result" if opens > closes else "loose-result")

    def _plain(self, subject: LintContext) -> Findings:
        """Yield a finding if only questions or only answers are closed, and both open with the same token."""
        found = subject.facts.frames
        if found is None:
            return
        question, answer, again = found.tokens
        shorter, longer = sorted((question, answer), key=len)
        if question != again or not shorter or shorter != longer[1:]:
            return
        index, what = (0, "a question") if shorter is question else (1, "an answer")
        yield self.finding(
            subject.blame(found.rendering, found.starts[index]), "not-closed", what=what, tokens=longer[0]
        )

    def _voted(self, subject: LintContext) -> Findings:
        """Yield a finding if a system message, question or answer lacks the token that ends the two others."""
        closing = subject.facts.turn_delimiters
        own_end = {*_OWN_END, subject.template.tokens.get("eos_token", "")}
        for what, (tokens, rendering, offset) in closing.items():
            others = [other for name, (other, _, _) in closing.items() if name != what]
            if len(others) < _OTHERS:
                continue
            shared = [token for token in others[0] if token in others[1] and token not in tokens]
            # Some vocabularies have a separate token for the end of an answer.
            if shared and not (what == "an answer" and own_end & set(tokens)):
                yield self.finding_in(
                    subject, rendering, max(offset - 1, 0), "other-close", what=what, tokens=shared[-1]
                )
                return

    def _by_prompt(self, subject: LintContext) -> Findings:
        """Yield a finding if all turns open with the token of the generation prompt, and few of them are not closed."""
        found, opener = subject.facts.frames, subject.facts.prompt_token
        if found is None or opener is None or opener not in found.tokens[0] or opener not in found.tokens[1]:
            return
        for name in ("turns", "system"):
            rendering = subject.probe.render(name)
            starts = [match.start() for match in re.finditer(re.escape(opener), rendering.text)] if rendering else []
            turns = list(pairwise(starts))
            # One for each message, and possibly one that the template adds.
            if rendering is None or not 0 <= len(starts) - len(rendering.conversation.messages) <= 1:
                continue
            ends = [_CLOSING.search(rendering.text[start:end].rstrip()) for start, end in turns] if rendering else []
            unclosed = [start for (start, _), closing in zip(turns, ends, strict=True) if closing is None]
            tokens = sorted({closing[0] for closing in ends if closing is not None})
            if rendering is not None and unclosed and len(unclosed) * 2 <= len(ends):
                yield self.finding(
                    subject.blame(rendering, unclosed[0]),
                    "next-opens",
                    turn=Quoted(rendering.text[unclosed[0] : unclosed[0] + 24]),
                    tokens=" or ".join(tokens),
                )
                return
