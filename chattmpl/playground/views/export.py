"""The view *Export*: the template as plain Jinja, for training and for inference."""

from __future__ import annotations

from chattmpl.errors import ChatTmplError
from chattmpl.playground.state import State
from chattmpl.playground.views.loading import template_of
from chattmpl.playground.views.markup import note, quoted

TITLES = {
    "train": ("For training", "keeps the generation tags, for transformers and TRL"),
    "inference": ("For inference", "has no tags, for the engines that serve"),
}


def exports(state: State) -> dict[str, str | ChatTmplError]:
    """Both exports, or why there is none.

    Raises:
        Failed: if the template does not compile.
    """
    template = template_of(state)
    made: dict[str, str | ChatTmplError] = {}
    for target in ("train", "inference"):
        try:
            made[target] = template.export(target)
        except ChatTmplError as error:
            made[target] = error
    return made


def view(made: dict[str, str | ChatTmplError]) -> str:
    """Both exports as HTML, each with what copies and saves it."""
    return "".join(_shown(target, export) for target, export in made.items())


def _shown(target: str, export: str | ChatTmplError) -> str:
    title, what = TITLES[target]
    head = f"<h3><span>{title}</span><span>{what}</span></h3>"
    acts = (("copy", "Copy"), ("save", "Save as .jinja"))
    buttons = "".join(
        f'<button class="button small" type="button" data-act="{act}:{target}">{word}</button>' for act, word in acts
    )
    if isinstance(export, ChatTmplError):
        body = note(export.message, f"<p>{quoted(export.hint or '')}</p>", "error")
        return f'<section class="frame outside">{head}{body}</section>'
    lines = "".join(f"<i>{quoted(line)}\n</i>" for line in export.split("\n"))
    pre = f'<pre class="numbered" tabindex="0">{lines}</pre>'
    return f'<section class="frame outside">{head}<div class="actions">{buttons}</div>{pre}</section>'
