"""Rules: what each is, and how they are found."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Literal

from chattmpl.compiler.edits import Edit
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.lint.diagnostic import Diagnostic, Severity
from chattmpl.lint.subject import Subject
from chattmpl.source import Place

GROUPS = {
    "CT0": "Lint itself",
    "CT1": "The mask",
    "CT2": "Prompt and prefix",
    "CT3": "Lost and invented content",
    "CT4": "Portability between engines",
    "CT5": "Safety",
    "CT6": "Tokens",
    "CT7": "Clarity",
}
"""The first three characters of a code, and what its rules are about."""

SECTIONS = ("What it does", "Why is this bad?", "Example", "Use instead")
"""The headings of a rule's documentation, in order."""

_CODE = re.compile(r"CT[0-7]\d\d")


class Rule(ABC):
    """One thing that can be wrong with a template. The docstring of a rule is its documentation.

    Attributes:
        code: ``CT``, the digit of its group, and two more.
        name: a few words with hyphens.
        severity: of its findings, unless they say otherwise.
        law: the law that its findings break, if it is one.
        needs_tokenizer: whether it is left out where no tokenizer was given.
        probes: whether it renders conversations.
        explains: codes of findings that are consequences of its own, and are left out beside them: of the whole
            template, or with ``:line`` those on the same line.
        fix_spans: how a fix may change what is generated: not at all (``same``), or by having less or more of it
            (``shrink``, ``grow``).
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    law: ClassVar[str | None] = None
    needs_tokenizer: ClassVar[bool] = False
    probes: ClassVar[bool] = False
    explains: ClassVar[tuple[str, ...]] = ()
    fix_spans: ClassVar[Literal["same", "shrink", "grow"]] = "same"

    @abstractmethod
    def check(self, subject: Subject) -> Iterator[Diagnostic]:
        """The findings in one template."""

    def fix(self, subject: Subject, finding: Diagnostic) -> Iterator[Sequence[Edit] | str]:
        """Ways to mend a finding, the likeliest first: edits of the source, or the whole source anew.

        They need not be right: each is tried, and kept only if it is proven to change no text; see `chattmpl.lint.fix`.
        """
        yield from ()

    def meant(self, subject: Subject, finding: Diagnostic) -> Sequence[Edit]:
        """Edits that write what the author of a slip meant, though the text changes.

        What is not found in the template with these edits is a consequence of the slip; see `chattmpl.lint.causes`.
        """
        return ()

    @classmethod
    def fixable(cls) -> bool:
        """Whether it knows a fix at all."""
        return cls.fix is not Rule.fix

    def finding(
        self,
        place: Place,
        message: str,
        hint: str,
        *,
        severity: Severity | None = None,
        counterexample: Mapping[str, Any] | None = None,
    ) -> Diagnostic:
        """A diagnostic of this rule."""
        return Diagnostic(self.code, severity or self.severity, place, message, hint, self.law, counterexample)

    @classmethod
    def documentation(cls) -> str:
        """The docstring, without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")


@cache
def rules() -> Mapping[str, Rule]:
    """All rules by code: whatever class of the modules in ``chattmpl/lint/rules`` is a `Rule`.

    Raises:
        TypeError: if two have one code or name, or a code is of no group.
    """
    package = importlib.import_module("chattmpl.lint.rules")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return registry(_in_module(f"{package.__name__}.{name}") for name in names)


def registry(found: Iterable[Rule]) -> Mapping[str, Rule]:
    """Rules by code, in the order of the codes.

    Raises:
        TypeError: if two have one code or name, or a code is of no group.
    """
    by_code: dict[str, Rule] = {}
    names: dict[str, str] = {}
    for rule in found:
        if not _CODE.fullmatch(rule.code):
            raise TypeError(f"{type(rule).__name__} has the code {rule.code!r}, which is of no group")
        if rule.code in by_code:
            raise TypeError(f"{type(by_code[rule.code]).__name__} and {type(rule).__name__} are both {rule.code}")
        if rule.name in names:
            raise TypeError(f"{names[rule.name]} and {rule.code} are both called {rule.name!r}")
        by_code[rule.code] = rule
        names[rule.name] = rule.code
    return dict(sorted(by_code.items()))


def _in_module(name: str) -> Rule:
    module = importlib.import_module(name)
    classes = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Rule) and item.__module__ == name
    ]
    if len(classes) != 1:
        raise TypeError(f"{name} must hold one rule, and holds {len(classes)}")
    made: Rule = classes[0]()
    return made


def rule_named(which: str) -> Rule:
    """The rule of this code or name.

    Raises:
        UsageError: if there is none.
    """
    known = rules()
    for rule in known.values():
        if which.upper() == rule.code or which.lower() == rule.name:
            return rule
    names = [*known, *(rule.name for rule in known.values())]
    hint = did_you_mean(which, names) or f"the rules are {known_range(known)}"
    raise UsageError(f"there is no rule {which!r}", hint=hint)


def known_range(known: Iterable[str]) -> str:
    """The codes, for a hint."""
    return ", ".join(known)


def chosen(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[Rule]:
    """The rules of codes, or of beginnings of codes (``CT1`` is a group).

    Raises:
        UsageError: for what is the beginning of no code.
    """
    known = rules()
    wanted, unwanted = tuple(code.upper() for code in select), tuple(code.upper() for code in ignore)
    for prefix in (*wanted, *unwanted):
        if not any(code.startswith(prefix) for code in known):
            hint = did_you_mean(prefix, known) or f"the rules are {known_range(known)}"
            raise UsageError(f"there is no rule {prefix!r}", hint=hint)
    return [
        rule
        for code, rule in known.items()
        if (not wanted or code.startswith(wanted)) and not (unwanted and code.startswith(unwanted))
    ]
