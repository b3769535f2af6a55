"""The planted bug: system prompts lost in preprocessing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chattmpl.training.prove.dialogues import Abilities, make_dialogues
from chattmpl.training.prove.models import Size
from playbook_parts.alterations import drop_system
from playbook_parts.experiment import Claim, Experiment
from playbook_parts.plan import MIX, Config, Portion, base

KEPT, LOST = "system prompts kept", "system prompts lost"
_ROWS = 200

_FORGETFUL = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- elif message.role == 'user' %}
{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
"""The same bug in a template: no branch renders the system message."""


_CONVERSATION = {
    "messages": [
        {"role": "system", "content": "You are agent 47"},
        {"role": "user", "content": "who are you?"},
        {"role": "assistant", "content": "Hi, agent 47"},
    ]
}


def arms(size: Size) -> Mapping[str, Config]:
    return {KEPT: base(size), LOST: base(size).stage(portions=(Portion(altered="system lost"),))}


def audit() -> str:
    """Return the output of the audit of the second arm's rows."""
    abilities = Abilities(reasoning=True, calls=True, tools=True, switch="enable_thinking")
    dialogues = drop_system(make_dialogues(_ROWS, abilities, 0, test=False, mix=MIX))
    lines = "".join(json.dumps(each.record()) + "\n" for each in dialogues)
    # Without AU3: repetitions are expected, since there are few questions.
    options = ("-t", "hybrid", "--tokenizer", "demo", "--format", "text", "--select", "AU1,AU2")
    return _run({"lost.jsonl": lines}, "audit", "lost.jsonl", *options)


def check() -> str:
    """Return the output of the check of a template that loses system messages."""
    files = {"forgetful.jinja": _FORGETFUL, "talk.json": json.dumps(_CONVERSATION)}
    options = ("--conversations", "talk.json", "--law", "lossless", "--format", "text")
    return _run(files, "check", "forgetful.jinja", *options)


def _run(files: Mapping[str, str], *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "chattmpl", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    return f"$ chattmpl {' '.join(arguments)}\n{done.stdout}exit code {done.returncode}\n"


EXPERIMENT = Experiment(
    number=5,
    name="The planted bug: system prompts lost in preprocessing",
    question=(
        "The content of every system message in the training data is None, as left by a preprocessing step that reads "
        "the wrong column. Held-out dialogues have their system messages. *Persona* asks for the contents of the "
        "system message."
    ),
    expectation=(
        "The usual signs show nothing: the training loss is at most a little higher, completions parse, stop and "
        "follow the mode, and reversals are right. Only the persona test fails, completely: the model has learned to "
        "make a number up. `chattmpl audit` reports each row before training, and `chattmpl check` a template with the "
        "same bug."
    ),
    arms=arms,
    measures=("stopped", "parsed", "mode followed", "reverse", "persona", "training loss", "loss"),
    drawn=("stopped", "parsed", "mode followed", "reverse", "persona"),
    claims=(
        Claim("the same number of completions parse", "parsed", LOST, KEPT, "same"),
        Claim("the mode is followed as often", "mode followed", LOST, KEPT, "same"),
        Claim("the same number of reversals are right", "reverse", LOST, KEPT, "same"),
        Claim("the persona test fails", "persona", LOST, KEPT, "less"),
    ),
    notes={"audit": audit, "check": check},
    short="Only the persona test shows the bug; `chattmpl audit` reports it before training.",
    remark=(
        "Completions stop and parse as before, and reversals are right. Only persona fails, from two thirds down to "
        "one in eight; it is not zero because a number that an earlier answer of the dialogue gave can be copied from "
        "there. The training loss is higher, but nothing shows that it should be lower. With two of three seeds the "
        "mode is also followed less, which so few seeds cannot tell from chance. The audit reports the bug before "
        "training, and the check reports it if the template causes it:"
    ),
)
