"""Draw the pictures of the documentation with the library itself, so that they show its real output.

python tools/make_pictures.py            writes docs/images/render.svg
python tools/make_pictures.py --check    exits with 1 if the file is out of date
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from chattmpl import Template
from chattmpl.conversation.files import load_conversation
from chattmpl.report.picture import picture
from chattmpl.report.terminal import print_picture

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images" / "render.svg"
FIXTURE, FAMILY, TOKENIZER, WIDTH = "multi_turn_reasoning", "qwen3", "demo", 96

_NORMAL = [(1, 4, 9), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207)]
THEME = TerminalTheme((13, 17, 23), (230, 237, 243), [*_NORMAL, (177, 186, 196)], [*_NORMAL, (240, 246, 252)])
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def draw() -> str:
    """Return the picture as self-contained SVG."""
    rendering = Template.load(FAMILY).render(load_conversation(ROOT / "fixtures" / f"{FIXTURE}.json"))
    encoding = rendering.encode(TOKENIZER)
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor",
        markup=False, highlight=False, no_color=False,
    )  # fmt: skip
    command = f"chattmpl render fixtures/{FIXTURE}.json -t {FAMILY} --tokenizer {TOKENIZER}"
    console.print(Text.assemble(("$ ", "green"), command))
    print_picture(console, picture(rendering, encoding, name=f"{FIXTURE}.json", tokenizer=TOKENIZER))
    drawn = console.export_svg(title="chattmpl", theme=THEME, unique_id="chattmpl")
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", drawn)
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def main() -> int:
    """Write the file, or check it."""
    arguments = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    arguments.add_argument("--check", action="store_true", help="check whether the file is up to date")
    check = arguments.parse_args().check
    drawn = draw()
    if check:
        same = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == drawn
        print(f"{TARGET.name} is {'up to date' if same else 'OUT OF DATE'}")
        return 0 if same else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(drawn, encoding="utf-8")
    print(f"{TARGET.name}: {len(drawn.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
