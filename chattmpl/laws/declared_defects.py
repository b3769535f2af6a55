"""Counterexamples that a family declares: defects of its upstream, which it reproduces on purpose."""

from __future__ import annotations

import json
import re

from chattmpl.laws.outcome import Counterexample
from chattmpl.template.family import Defect, Family


def declared_defect(family: Family | None, found: Counterexample) -> Defect | None:
    """The declaration in ``family.toml`` that a counterexample falls under; None if nobody has said that it would be.

    Args:
        family: the family of the template that was checked, if it has one.
        found: what breaks a law.
    """
    if family is None:
        return None
    shown = f"{found.message} {json.dumps(found.kwargs)} {json.dumps(found.conversation.dump())}"
    for defect in family.upstream_defects:
        if defect.law != found.law or re.search(defect.when, shown) is None:
            continue
        if not defect.fields or any(field in found.message for field in defect.fields):
            return defect
    return None
