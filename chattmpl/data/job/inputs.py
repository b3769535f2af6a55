"""What a job is given, and whether it can be meant so."""

from __future__ import annotations

import os
from collections.abc import Sequence

from chattmpl.data.job.plan import Plan
from chattmpl.data.mixture import SUFFIXES, Mixture, Source, checked, load_mixture
from chattmpl.data.sources import read
from chattmpl.errors import UsageError, did_you_mean
from chattmpl.template.template import Template

Data = str | os.PathLike[str] | Mixture | Sequence[str | os.PathLike[str]]

_LOOKED_AT = 100
"""Rows of a file in which columns are looked for."""


def mixture_of(data: Data) -> Mixture:
    """The mixture that a caller means: a mixture's file is read, and each other path is a source.

    Raises:
        UsageError: nothing is named, or the file of a mixture is wrong.
    """
    if isinstance(data, Mixture):
        return checked(data, "the mixture")
    names = [data] if isinstance(data, str | os.PathLike) else list(data)
    paths = [os.fspath(name) for name in names]
    mixtures = [path for path in paths if path.lower().endswith(SUFFIXES)]
    if len(paths) == 1 and mixtures:
        return load_mixture(paths[0])
    if mixtures:
        raise UsageError(f"{mixtures[0]} is a mixture, which stands alone", hint="name the other data in it")
    if not paths:
        raise UsageError("nothing to encode", hint="name files, folders, patterns or a mixture")
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"{path} is named twice", hint="in a mixture, epochs takes a source more than once")
    return checked(Mixture(sources=[Source(path=path, name=path) for path in paths]), "the data")


def check_kwargs(mixture: Mixture, template: Template) -> None:
    """Checks that the template reads the kwargs of a mixture: another would change nothing, silently.

    Raises:
        UsageError: it does not.
    """
    for source in mixture.sources:
        named = {**mixture.chat_template_kwargs, **source.chat_template_kwargs}
        template.check_kwargs({name: value for name, value in named.items() if value is not None})
        template.check_kwargs(dict.fromkeys(set(source.kwargs_from) - template.program.variables))


def check_columns(plan_: Plan) -> None:
    """Checks that the columns are there that kwargs are taken from.

    Raises:
        UsageError: one is not.
    """
    for source in plan_.sources:
        wanted = source.source.kwargs_from.values()
        known: set[str] = set()
        for row in read(source.scans[0].file, limit=_LOOKED_AT) if wanted else ():
            known.update(row.value if isinstance(row.value, dict) else ())
        for column in wanted:
            if column not in known:
                hint = did_you_mean(column, known) or f"the columns are {', '.join(sorted(known))}"
                raise UsageError(f"no row of {source.source.name!r} has a column {column!r}", hint=hint)
