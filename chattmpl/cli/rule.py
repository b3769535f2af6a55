"""``chattmpl rule``."""

from collections.abc import Mapping
from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.output import write


@command(
    "Checking",
    "chattmpl rule CT109",
    "chattmpl rule AU101",
)
@click.argument("code", required=False)
def rule(code: str | None) -> None:
    """Explain a rule of lint or a check of audit, or list all rules of lint.

    CODE is a code such as CT101 or AU101, or the name of a rule.
    """
    from chattmpl.lint.rule import GROUPS, rule_named, rules

    if code is None:
        write(_listed(GROUPS, rules()))
    elif code.upper().startswith("AU"):
        write(explained_check(code))
    else:
        found = rule_named(code)
        write(_explained(found) + (f"\nBreaks the law `{found.law}`.\n" if found.law else ""))


def explained_check(which: str) -> str:
    """Return the documentation of a check of audit, or the list of all checks for ``all``.

    Raises:
        UsageError: if the check does not exist.
    """
    from chattmpl.data.audit import GROUPS, all_checks, check_named

    return _listed(GROUPS, all_checks()) if which == "all" else _explained(check_named(which))


def _explained(one: Any) -> str:
    return f"# {one.code} {one.name} ({one.severity})\n\n{one.documentation()}\n"


def _listed(groups: Mapping[str, str], known: Mapping[str, Any]) -> str:
    lines = []
    for group, title in groups.items():
        lines.append(f"{group} {title}")
        for code, one in known.items():
            if code.startswith(group):
                lines.append(f"  {code} {one.severity:<7} {one.name}: {one.documentation().partition(chr(10))[0]}")
    return "\n".join(lines) + "\n"
