import re

from chattmpl.lint.rule import Findings, LintContext, Quoted, Rule

_ASSISTANT = re.compile(r"<[^/<>][^<>]*>\W*(?i:assistant)\b|<\|?(?i:assistant)\|?>")
_USER = re.compile(r"(?i)user|human|question|inst|client|query")


def _header(text: str, offset: int) -> str:
    """Return the header before an offset: from the last control token, or the one before that if no words follow it."""
    tokens = [match.start() for match in re.finditer(r"<[^<>\s]+>", text[:offset])]
    start = tokens[-1] if tokens else offset
    if (len(tokens) > 1 and text[offset - 1 : offset] == ">") or text[start:offset].startswith("<|end_header"):
        start = tokens[-2] if len(tokens) > 1 else start
    return text[start:offset]


class RolesLookAlike(Rule):
    """Questions and answers have the same frame.

    Reports templates that write the same text between a question and its answer as between an answer and the next
    question, or that name the assistant in the header of a question.

    This is a warning for a system message with the header of a question.

    ## Why is this bad?

    Nothing tells the model who speaks: it answers itself, or continues the user's text.
    """

    example = r"{% for m in messages %}<|im_start|>assistant\n{{ m.content }}<|im_end|>\n{% endfor %}"
    use_instead = r"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    severity = "error"
    message = {
        "same": "questions and answers have the same frame, {header}",
        "question": "a question has the header of an answer, {header}",
        "result": "a tool result has the header of an answer, {header}",
        "system": "a system message has the header of a question, {header}",
    }
    hint = {
        "same": "name the role in the header of each turn",
        "question": "name the role in the header of each turn",
        "result": "name the role of the tool, or that of the user, in its header",
        "system": "name its role in its header, or put its text into the turn of the first question",
    }
    per_mode = True

    def check(self, subject: LintContext) -> Findings:
        found = subject.facts.frames
        if found is None:
            return
        yield from self._system(subject)
        yield from self._results(subject)
        same = found.between[0] == found.between[1] == found.between[2]
        if same or (_ASSISTANT.search(found.between[1]) and not _USER.search(found.between[1])):
            yield self.finding_in(
                subject,
                found.rendering,
                found.starts[1] + len(found.between[1]) - 1,
                "same" if same else "question",
                header=Quoted(found.between[1]),
            )

    def _results(self, subject: LintContext) -> Findings:
        """Yield a finding if a tool result is in a separate turn with the header of an answer."""
        question, prompted = subject.probe.render("turn", 1), subject.probe.render("turn", 1, prompt=True)
        rendering = subject.probe.render("calls")
        if question is None or prompted is None or rendering is None:
            return
        header = prompted.text.removeprefix(question.text).strip()
        call, result = rendering.text.rfind("lefttusk"), rendering.text.find("Result raspberry")
        start = rendering.text.find(header, call, result) if 0 <= call < result else -1
        if _ASSISTANT.search(header + " ") and prompted.text.startswith(question.text) and start >= 0:
            yield self.finding_in(subject, rendering, start, "result", header=Quoted(header))

    def _system(self, subject: LintContext) -> Findings:
        """Yield a finding if a system message is in a separate turn with the header of a question."""
        rendering = subject.probe.render("system")
        texts = (
            [] if rendering is None else [rendering.text.find(word) for word in ("Behave", "Question", "Follow fig")]
        )
        if rendering is None or -1 in texts:
            return
        system, question, more = texts
        header = _header(rendering.text, more)
        if not header or not _USER.search(header) or not rendering.text[:system].endswith(header):
            return
        if rendering.text[:question].endswith(header) and system < question:
            yield self.finding_in(subject, rendering, system - 1, "system", header=Quoted(header), severity="warning")
