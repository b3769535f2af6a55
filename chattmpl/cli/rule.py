"""``chattmpl rule``."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("code", required=False)
def rule(code: str | None) -> None:
    """Explain the rule CODE, or list all rules. AU codes are what chattmpl audit finds."""
    from chattmpl.lint.rule import GROUPS, rule_named, rules

    if code is not None and code.upper().startswith("AU"):
        from chattmpl.cli.audit import explained

        _write(explained(code))
        return
    if code is not None:
        one = rule_named(code)
        heading = f"# {one.code} {one.name} ({one.severity})"
        law = f"\n\nBreaks the law `{one.law}`." if one.law else ""
        _write(f"{heading}\n\n{one.documentation()}{law}\n")
        return
    lines = []
    for group, title in GROUPS.items():
        lines.append(f"{group} {title}")
        lines += [
            f"  {known.code} {known.severity:<7} {known.name}: {known.documentation().partition(chr(10))[0]}"
            for known in rules().values()
            if known.code.startswith(group)
        ]
    _write("\n".join(lines) + "\n")


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
