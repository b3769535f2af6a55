"""``chattmpl playground``."""

from __future__ import annotations

import click

from chattmpl.errors import UsageError


@click.command()
@click.argument("template", metavar="[TEMPLATE]", required=False)
@click.option("--conversations", metavar="DIR", help="A folder, or a file, of conversations of your own.")
@click.option("--tokenizer", metavar="T", help="demo, a tokenizer.json, a model directory or a hub id.")
@click.option("--port", type=click.IntRange(1, 65535), help="By default the first free one from 8290.")
@click.option("--browser/--no-browser", default=True, help="Whether to open one.")
def playground(
    template: str | None, conversations: str | None, tokenizer: str | None, port: int | None, browser: bool
) -> None:
    """See what a template does while you write it: mask, tokens, origins, laws and lint, in a local page.

    TEMPLATE is what -t takes elsewhere, by default hybrid. A file is watched: the page follows when it is saved.
    The page is served on 127.0.0.1 only, and loads nothing from elsewhere.
    """
    from chattmpl.cli.exit_codes import say

    try:
        import nicegui  # noqa: F401
    except ImportError:
        raise UsageError("the playground needs NiceGUI", hint="pip install 'chattmpl[playground]'") from None
    from chattmpl.playground.server import free_port, serve
    from chattmpl.playground.setup import set_up

    setup = set_up(template, conversations, tokenizer)
    serve(setup, port=free_port(port), browser=browser, say=say)
