"""The laws of a chat template, one a module: properties that can be checked on any conversation."""

from chattmpl.laws.law import Case, Law, evaluate, laws, laws_named
from chattmpl.laws.outcome import Counterexample, DoesNotApply, Holds, NotEvaluated, Outcome

__all__ = [
    "Case",
    "Counterexample",
    "DoesNotApply",
    "Holds",
    "Law",
    "NotEvaluated",
    "Outcome",
    "evaluate",
    "laws",
    "laws_named",
]
