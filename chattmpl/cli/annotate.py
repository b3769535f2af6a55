"""``chattmpl annotate``."""

from __future__ import annotations

from typing import Any

import click

from chattmpl.cli.options import command
from chattmpl.cli.output import FOUND, OK, say
from chattmpl.cli.rewrite_options import Target, rewriting_options


@command("Rewriting")
@rewriting_options
@click.option("--repair", is_flag=True, help="Place tags anew where there are some that are not lawful.")
def annotate(repair: bool, strict: bool, stops: tuple[str, ...], examples: int, **where: Any) -> int:
    """Put generation tags into a chat template, so that the laws of the mask hold and no text changes.

    UPSTREAM is a .jinja file, a model directory, a tokenizer_config.json, a GGUF file or a family.
    The change and its proof go to stderr; with --format json the report, with the template, goes to stdout.
    Where no lawful placement exists, or none could be proven, nothing is written and the exit code is 1.
    """
    target = Target(**where)
    from chattmpl.report.annotation import annotation_json, proof_text, refusal_json, refusal_text
    from chattmpl.rewrite.annotate.annotator import annotate as annotated
    from chattmpl.rewrite.annotate.refusal import CannotAnnotate

    template = target.load()
    try:
        made = annotated(template, repair=repair, strict=strict, stop_tokens=stops, examples=examples)
    except CannotAnnotate as refusal:
        if target.form == "json":
            click.echo(refusal_json(refusal, template.name), nl=False)
        else:
            say(f"nothing was written:\n{refusal_text(refusal, template.name)}")
        return FOUND
    proof = made.proof
    assert proof is not None
    target.deliver(template, made.given.text, proof.diff, lambda: proof_text(proof), lambda: annotation_json(made))
    return OK
