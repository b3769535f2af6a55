"""The template of the commands that tell what would be trained."""

from __future__ import annotations

from chattmpl.cli.exit_codes import say
from chattmpl.cli.template_choice import Templates
from chattmpl.errors import TemplateError
from chattmpl.template.template import Template


def training_template(template: str | None, retention: str | None, variant: str | None, *, must: bool) -> Template:
    """The template that is named; one without generation tags is annotated, as it is for training, and this is told.

    Args:
        template: a family, a file, or a folder.
        retention: the policy, if the person said one.
        variant: of several templates in one file, if the person said one.
        must: whether it is an error where none can be placed; else that is told, and nothing will be trained.
    """
    from chattmpl.data.auto_annotate import annotated

    chosen = Templates(template, None, retention, variant).of()
    try:
        return annotated(chosen, _note)[0]
    except TemplateError as refusal:
        if must:
            raise
        _note(f"{refusal.message} ({refusal.hint})" if refusal.hint else refusal.message)
        return chosen


def _note(text: str) -> None:
    say(f"note: {text}")
