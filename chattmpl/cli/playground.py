"""``chattmpl playground``."""

import click

from chattmpl.cli.options import command, tokenizer_option
from chattmpl.cli.output import require_packages, say


@command(
    "Using templates",
    "chattmpl playground my_template.jinja",
    "chattmpl playground qwen3 --conversations chats/ --tokenizer demo",
    long_running=True,
)
@click.argument("template", metavar="[TEMPLATE]", required=False)
@click.option(
    "--conversations", metavar="PATH", help="Folder or file of conversations to offer, in addition to the fixtures."
)
@tokenizer_option("Tokenizer whose tokens are shown", "demo")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port of the page. Default: the first free port from 8290.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
def playground(
    template: str | None, conversations: str | None, tokenizer: str | None, port: int | None, browser: bool
) -> None:
    """Show the mask, tokens, origins, laws and lint of a template in a local page while you edit it.

    TEMPLATE is a family, a .jinja file, a model directory or a tokenizer_config.json; the default is hybrid. A file is
    watched, and the page updates when it is saved. The page is served on 127.0.0.1 only and loads nothing from other
    hosts.
    """
    require_packages("chattmpl playground", ("nicegui",), "playground")
    from chattmpl.playground.server import free_port, serve
    from chattmpl.playground.setup import set_up

    setup = set_up(template, conversations, tokenizer, say)
    serve(setup, port=free_port(port), browser=browser, say=say)
