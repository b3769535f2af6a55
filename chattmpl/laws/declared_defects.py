"""Matching of counterexamples with the upstream defects that a family declares."""

from __future__ import annotations

import json
import re

from chattmpl.laws.outcome import Counterexample
from chattmpl.template.family import Defect, Family


def declared_defect(family: Family | None, found: Counterexample) -> Defect | None:
    """Return the declaration in ``family.toml`` that covers a counterexample; None if there is none.

    Args:
        family: the family of the template that was checked, if it has one.
        found: the counterexample.
    """
    if family is None:
        return None
    shown = f"{json.dumps(found.kwargs)} {json.dumps(found.conversation.dump())}"
    for defect in family.upstream_defects:
        if defect.law != found.law or (defect.kinds and found.kind not in defect.kinds):
            continue
        if defect.fields and not any(field in (found.path or "") for field in defect.fields):
            continue
        same = all(str(found.data.get(name, "")).startswith(value) for name, value in defect.data.items())
        if same and re.search(defect.when, shown) is not None:
            return defect
    return None
