import re
import unicodedata

from chattmpl.lint.rule import Edit, Findings, Fixes, LintContext, Rule, TemplateDiagnostic

_GRAVE = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_JOINERS = "\u200c\u200d"
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
    # Joiners shape emoji and scripts between two characters; anywhere else they only hide.
    rf"|(?<![^\s\x00-\x7f])[{_JOINERS}]|[{_JOINERS}](?![^\s\x00-\x7f])"
)


class HiddenCharacters(Rule):
    """The source contains invisible characters.

    Reports bidirectional controls, tag characters, zero-width characters, soft hyphens, byte order marks and control
    characters. Bidirectional controls and tag characters are errors.

    ## Why is this bad?

    Readers and reviewers do not see the same template as the engine: hidden text becomes part of every prompt, and a
    control token with a zero-width space in it is ordinary text.
    """

    example = "{{ '<|im_end&#8203;|>' }}"
    use_instead = "{{ '<|im_end|>' }}"
    severity = "warning"
    message = "a hidden character, {name} ({code})"
    hint = "remove it; if it is intended, write the escape {escape} inside a string"

    def check(self, subject: LintContext) -> Findings:
        for match in _HIDDEN.finditer(subject.found.source.text.replace("\r\n", "\n")):
            char = match[0]
            grave = char in _GRAVE or ord(char) >= 0xE0000
            place = subject.at(min(match.start(), len(subject.source.text)))
            yield self.finding(
                place,
                severity="error" if grave else None,
                intended_edits=[Edit(place.start, place.end, "")],
                name=unicodedata.name(char, "a control character").lower(),
                code=f"U+{ord(char):04X}",
                escape=f"\\u{ord(char):04x}",
            )

    def fix(self, subject: LintContext, finding: TemplateDiagnostic) -> Fixes:
        """Remove it from a comment; elsewhere write it as an escape."""
        offset = finding.place.start
        char = subject.source.text[offset : offset + 1]
        escape = f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"
        escape = escape if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"
        for at, kind, value in subject.tokens:
            if not at <= offset < at + len(value):
                continue
            if kind == "comment":
                yield [Edit(offset, offset + 1, "")]
            elif kind == "string":
                yield [Edit(offset, offset + 1, escape)]
            elif kind == "data":
                yield [Edit(offset, offset + 1, f"{{{{ '{escape}' }}}}")]
