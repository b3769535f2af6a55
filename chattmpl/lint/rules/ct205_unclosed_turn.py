"""CT205."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.lint.diagnostic import Diagnostic
from chattmpl.lint.rule import Rule
from chattmpl.lint.stops import CONTROL, shown
from chattmpl.lint.subject import Subject


def _frame(subject: Subject) -> tuple[str | None, frozenset[str]]:
    """The token that opens turns, and those that close them, from two plain turns."""
    rendering = subject.probe.render("turns")
    if rendering is None:
        return None, frozenset()
    contents = {span.message: span for span in rendering.spans if span.message is not None and span.field != "role"}
    if not contents.keys() >= {0, 1, 2, 3}:
        return None, frozenset()
    between = [CONTROL.findall(rendering.text[contents[n].end : contents[n + 1].start]) for n in range(3)]
    if any(len(tokens) < 2 for tokens in between):
        return None, frozenset()
    # What closes comes first behind a text, what opens second; only frames of which that is surely so are looked at.
    openers = {tokens[1] for tokens in between}
    closers = frozenset(tokens[0] for tokens in between)
    return (openers.pop(), closers) if len(openers) == 1 and not openers & closers else (None, frozenset())


class UnclosedTurn(Rule):
    r"""A turn is not closed before the next one opens.

    ## What it does

    Learns from the turns of the user which control token opens a turn and which closes it, and reports a system turn
    or a tools section that opens and does not close.

    ## Why is this bad?

    The next turn begins inside the one before it, which no other conversation looks like. Parsers and the model see
    the user's first question as part of the system message.

    ## Example

    ```jinja
    <|im_start|>system\n{{ system }}{{ '<|im_start|>user\n' + question + '<|im_end|>' }}
    ```

    ## Use instead

    ```jinja
    <|im_start|>system\n{{ system }}<|im_end|>{{ '<|im_start|>user\n' + question + '<|im_end|>' }}
    ```
    """

    code = "CT205"
    name = "unclosed-turn"
    severity = "warning"
    probes = True

    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""
        opener, closers = _frame(subject)
        if opener is None:
            return
        for name in ("turn", "system", "tools"):
            rendering = subject.probe.render(name)
            opened: int | None = None
            for match in CONTROL.finditer(rendering.text) if rendering else ():
                if match[0] in closers:
                    opened = None
                elif match[0] == opener:
                    if opened is not None and rendering is not None:
                        yield self.finding(
                            subject.blame(rendering, opened),
                            f"a turn opens with {shown(rendering.text[opened : opened + 24])}, "
                            "and the next opens before it is closed",
                            f"write {' or '.join(sorted(closers))} at its end",
                        )
                    opened = match.start()
