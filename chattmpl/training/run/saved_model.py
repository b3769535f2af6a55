"""Saving a model with all that is needed to serve what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chattmpl.training.run.models import tell_stops
from chattmpl.training.run.process_group import World
from chattmpl.training.run.resolved_run import Chosen
from chattmpl.training.run.served_template import write_templates


def save(trainer: Any, folder: Path, chosen: Chosen, *, merge: bool, world: World) -> None:
    """Saves the model, its tokenizer, both templates and the stop tokens; each process has to call it.

    Args:
        trainer: that has trained.
        folder: where to.
        chosen: what it was trained with.
        merge: whether adapters become part of the model.
        world: the processes.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None:
        # Parts of weights are for checkpoints; what is served is whole.
        plugin.set_state_dict_type("FULL_STATE_DICT")
    model = trainer.accelerator.unwrap_model(trainer.model)
    tell_stops(model, chosen.stops)
    if merge:
        merged = model.merge_and_unload()
        if world.first:
            tell_stops(merged, chosen.stops)
            merged.save_pretrained(folder)
            trainer.processing_class.save_pretrained(folder)
    else:
        trainer.save_model(str(folder))
    if world.first:
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            # With adapters alone, transformers does not write it.
            generation.save_pretrained(folder)
        write_templates(folder, chosen.template, chosen.served)
