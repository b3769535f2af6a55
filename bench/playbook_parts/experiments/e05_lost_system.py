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
from playbook_parts.alterations import system_lost
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


_TALK = {
    "messages": [
        {"role": "system", "content": "You are agent 47"},
        {"role": "user", "content": "who are you?"},
        {"role": "assistant", "content": "Hi, agent 47"},
    ]
}


def arms(size: Size) -> Mapping[str, Config]:
    return {KEPT: base(size), LOST: base(size).stage(portions=(Portion(altered="system lost"),))}


def audit() -> str:
    """What the audit says of the rows that the second arm trains on."""
    abilities = Abilities(reasoning=True, calls=True, tools=True, switch="enable_thinking")
    talks = system_lost(make_dialogues(_ROWS, abilities, 0, test=False, mix=MIX))
    lines = "".join(json.dumps(talk.record()) + "\n" for talk in talks)
    # Repetitions are meant: there are few questions.
    options = ("-t", "hybrid", "--tokenizer", "demo", "--format", "text", "--select", "AU1,AU2")
    return _said({"lost.jsonl": lines}, "audit", "lost.jsonl", *options)


def check() -> str:
    """What the check says of a template that loses system messages."""
    files = {"forgetful.jinja": _FORGETFUL, "talk.json": json.dumps(_TALK)}
    options = ("--conversations", "talk.json", "--law", "lossless", "--format", "text")
    return _said(files, "check", "forgetful.jinja", *options)


def _said(files: Mapping[str, str], *arguments: str) -> str:
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
        "The content of every system message of the training data is None, as a preprocessing step leaves it that "
        "reads the wrong column. Held-out talks have their system messages. *Persona* asks for what the system "
        "message says."
    ),
    expectation=(
        "What is usually looked at shows nothing: the training loss is a little higher at most, completions parse, "
        "stop and follow the mode, and reversals are right. Only the persona test fails, wholly: the model learned "
        "to make a number up. `chattmpl audit` reports each row before training, and `chattmpl check` a template "
        "with the same bug."
    ),
    arms=arms,
    measures=("stopped", "parsed", "mode followed", "reverse", "persona", "training loss", "loss"),
    drawn=("stopped", "parsed", "mode followed", "reverse", "persona"),
    claims=(
        Claim("as many completions parse", "parsed", LOST, KEPT, "same"),
        Claim("the mode is followed as often", "mode followed", LOST, KEPT, "same"),
        Claim("as many reversals are right", "reverse", LOST, KEPT, "same"),
        Claim("the persona test fails", "persona", LOST, KEPT, "less"),
    ),
    notes={"audit": audit, "check": check},
    short="Only the persona test shows the bug; `chattmpl audit` names it before training.",
    remark=(
        "Completions stop and parse as before, and reversals are right. Persona is what fails, from two thirds to "
        "one in eight; and it is not nothing at all, because a number that an earlier answer in the talk told can be "
        "copied from there. The training loss is higher, but nothing tells that it should be lower. In two of three "
        "seeds the mode is followed less, too, which so few seeds cannot tell from chance. The audit names the bug "
        "before training, and the check names it where the template is to blame:"
    ),
)
