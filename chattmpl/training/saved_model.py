"""The saved model: its files, and the check that the served template renders what was trained."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from chattmpl.conversation.models import Conversation
from chattmpl.errors import ChatTmplError, TemplateError
from chattmpl.laws.outcome import first_difference
from chattmpl.template.model_directory import TEMPLATE
from chattmpl.template.template import Template
from chattmpl.template.writer import replacing
from chattmpl.training.model import set_stop_tokens
from chattmpl.training.process_group import ProcessGroup
from chattmpl.training.resolved_run import ResolvedRun

TRAINING_FILE = "chat_template.train.jinja"
TOOL_TRAINING_FILE = "chat_template.train.tool_use.jinja"
"""The templates with generation tags, saved next to the served ones; the second if there is one for tools."""


def save(trainer: Any, folder: Path, resolved: ResolvedRun, *, merge: bool, group: ProcessGroup) -> None:
    """Save the model, its tokenizer, both templates and the stop tokens. Each process must call this.

    ``merge`` merges adapters into the model.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None:
        # Checkpoints hold sharded weights; a served model needs whole ones.
        plugin.set_state_dict_type("FULL_STATE_DICT")
    model = trainer.accelerator.unwrap_model(trainer.model)
    set_stop_tokens(model, resolved.stops)
    if merge:
        merged = model.merge_and_unload()
        if group.is_main:
            set_stop_tokens(merged, resolved.stops)
            merged.save_pretrained(folder)
            trainer.processing_class.save_pretrained(folder)
    else:
        trainer.save_model(str(folder))
    if group.is_main:
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            # transformers does not save it with adapters.
            generation.save_pretrained(folder)
        written = {TEMPLATE: resolved.served, TRAINING_FILE: resolved.template.export("train")}
        if resolved.template.tool_use is not None:
            written[TOOL_TRAINING_FILE] = resolved.template.tool_use.export("train")
        for name, text in written.items():
            with replacing(folder / name) as file:
                file.write(text.encode())


def check_saved_tokenizer(
    tokenizer: Any, template: Template, conversations: Sequence[Any], kwargs: Mapping[str, Any], clock: datetime | None
) -> int:
    """Check the renderings of a tokenizer after it is saved and loaded; see `check_saved_model`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return check_saved_model(folder, template, conversations, kwargs, clock)


def check_saved_model(
    folder: str | Path,
    template: Template,
    conversations: Sequence[Any],
    kwargs: Mapping[str, Any],
    clock: datetime | None,
) -> int:
    """Check that transformers renders the same text with the tokenizer of a folder as the training template does.

    The conversations are rendered as a whole and as the prompt of each assistant turn. Templates that call
    ``strftime_now`` are not checked, since transformers gives them the time of the machine.

    Returns:
        The number of texts compared.

    Raises:
        TemplateError: two texts differ.
    """
    from transformers import AutoTokenizer

    served = AutoTokenizer.from_pretrained(str(folder))
    count = 0
    if template.reads_clock:
        return 0
    for each in conversations:
        whole = Conversation.coerce(each)
        turns = [at for at, message in enumerate(whole.messages) if message.role == "assistant"]
        for end in (len(whole.messages), *turns):
            prompt = end < len(whole.messages)
            part = whole.model_copy(update={"messages": whole.messages[:end]})
            if not part.messages:
                continue
            try:
                trained = template.render(part, prompt, clock, **kwargs).text
            except ChatTmplError:
                continue
            text = _apply_chat_template(served, part, prompt, kwargs)
            if text != trained:
                raise _difference(trained, text)
            count += 1
    return count


def _apply_chat_template(served: Any, part: Conversation, prompt: bool, kwargs: Mapping[str, Any]) -> str:
    data = part.to_template_input()
    text: str = served.apply_chat_template(
        data["messages"],
        tools=data["tools"],
        documents=data["documents"],
        add_generation_prompt=prompt,
        tokenize=False,
        **{name: value for name, value in {**data["kwargs"], **kwargs}.items() if value is not None},
    )
    return text


def _difference(trained: str, served: str) -> TemplateError:
    at = first_difference(trained, served)
    around = slice(max(0, at - 30), at + 30)
    return TemplateError(
        f"the served template differs from the trained one: at character {at} the template renders "
        f"{trained[around]!r}, and transformers with the saved tokenizer {served[around]!r}",
        hint="check that the tokenizer's special tokens are those that the template writes",
    )
