"""The template and tokenizer of a run, loaded and made consistent: control tokens, special tokens, stop tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chattmpl.data.config_file import ConfigFile
from chattmpl.data.row_facts import row_facts
from chattmpl.encode import tokenizer_loader
from chattmpl.encode.tokenizer_loader import DEMO, DEMO_FILE, special_tokens_of
from chattmpl.errors import EncodeError, TemplateError, UsageError
from chattmpl.probing.control_tokens import missing_tokens
from chattmpl.probing.facts import facts_of
from chattmpl.rewrite.annotate.annotator import ensure_annotated
from chattmpl.template import hub
from chattmpl.template.family import family_for_tokens
from chattmpl.template.special_tokens import PIPED_CONTROL, read_by
from chattmpl.template.template import Template
from chattmpl.training.adapter.completions import MissingStopTokens, raw_tokenizer, stop_ids
from chattmpl.training.config import TrainConfig, located, one_line

Note = Callable[[str], None]

_PADS = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>")


@dataclass(frozen=True)
class ResolvedRun:
    """The template and tokenizer of a run, settled before any data is read.

    Attributes:
        template: the training template, annotated if it had no generation tags.
        tokenizer: tokenizer of transformers; its chat template is the one that is served.
        stops: stop tokens by id.
        served: source of the served template: without generation tags, and as it was before annotation.
        annotated: True if generation tags were added.
    """

    template: Template
    tokenizer: Any
    stops: dict[int, str]
    served: str
    annotated: bool


def resolve(config: TrainConfig, read: ConfigFile, note: Note) -> ResolvedRun:
    """Load the template and the tokenizer of a run, and make them consistent.

    ``note`` receives a sentence for each change that was not asked for.

    Raises:
        TemplateError, EncodeError, UsageError: one of them cannot be used, or they do not fit together.
    """
    table = config.template
    with located(read, "template"):
        template = Template.load(table.name, retention=table.retention, variant=table.variant)
        template.check_kwargs({name: value for name, value in table.kwargs.items() if value is not None})
    source = config.tokenizer or config.model.path
    assert source is not None, "load_config requires one of them"
    with located(read, "tokenizer" if config.tokenizer else "model"):
        tokenizer = load_tokenizer(source)
    with located(read, "template"):
        template = template.with_tokens(special_tokens_of(tokenizer) or special_tokens_of(source))
        template.require_tokens(table.kwargs)
        tagged = template.program.has_generation
        served = {"default": template.export("inference")}
        if template.tool_use is not None:
            served["tool_use"] = template.tool_use.export("inference")
        hint = "if the text that ends a turn does not look like a control token, set stop_tokens: [TEXT]"
        obeyed = config.mask_from == "tags" or bool(config.stop_tokens)
        template, proven = annotated_if_possible(template, note, obeyed, tuple(config.stop_tokens), hint)
        stop_tokens = _stop_tokens(template, config.stop_tokens or proven)
        added = _add_control_tokens(template, tokenizer, config.add_tokens, note)
        _align_special_tokens(template, tokenizer, note)
    key = next((name for name in ("stop_tokens", "add_tokens") if getattr(config, name) not in (None, [])), "template")
    with located(read, key):
        stops = _settle_stop_ids(template, tokenizer, stop_tokens)
    if added and config.lora is not None and "modules_to_save" not in config.lora:
        raise UsageError(
            "lora trains only the adapters, so the embeddings of added tokens would stay random",
            place=read.place(("lora",)),
            hint="lora.modules_to_save: [embed_tokens, lm_head] trains them too",
        )
    tokenizer.chat_template = _with_others(served, template, tokenizer.chat_template, source, note)
    annotated = template.program.has_generation and not tagged
    return ResolvedRun(template, tokenizer, stops, served["default"], annotated)


def annotated_if_possible(
    template: Template, note: Note, must: bool = False, stop_tokens: tuple[str, ...] = (), stop_hint: str | None = None
) -> tuple[Template, tuple[str, ...]]:
    """Return a template with generation tags, and its stop tokens if these were proven.

    One in which no tags can be placed is returned as it is, with a note: rows train what is sampled after each prompt.

    Raises:
        TemplateError: it ``must`` have tags, and none can be placed.
    """
    try:
        return ensure_annotated(template, note, stop_tokens, stop_hint=stop_hint)
    except TemplateError:
        if must:
            raise
        note(f"{template.name} has no generation tags: rows train what the model samples after each prompt")
        return template, ()


def load_tokenizer(name: str) -> Any:
    """Load a tokenizer with transformers: ``demo``, a tokenizer.json, a model directory or a hub id.

    Raises:
        EncodeError: the tokenizer cannot be loaded, or is not a fast one.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = DEMO_FILE if name == DEMO else Path(name)
    try:
        if path.is_dir() and not (path / "tokenizer_config.json").is_file() and (path / "tokenizer.json").is_file():
            path = path / "tokenizer.json"
        if path.is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
        else:
            local = path.is_dir() or not hub.is_reachable()
            tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
    except Exception as error:
        if not path.exists() and not hub.is_reachable():
            raise hub.unreachable_error(name) from None
        raise EncodeError(
            f"cannot load the tokenizer {name!r}: {one_line(error, 300)}",
            hint="tokenizer must be a tokenizer.json, a model directory or a hub id",
        ) from None
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncodeError(f"the tokenizer {name!r} has no tokenizer.json", hint="save it as a fast tokenizer")
    return tokenizer


def _with_others(
    served: dict[str, str], template: Template, before: Any, source: str, note: Note
) -> str | dict[str, str]:
    """Return the served templates with other named ones of the same model directory, as a tokenizer has them.

    Args:
        served: the templates that are trained, by name, as they are served.
        template: the training template.
        before: the chat templates that the tokenizer was loaded with.
        source: the model directory of the tokenizer.
        note: receives what is saved untrained, and what is not saved.
    """
    others = {name: text for name, text in before.items() if name not in served} if isinstance(before, dict) else {}
    directory = template.resolved.directory
    same = directory is not None and directory.path.resolve() == Path(source).resolve()
    # With tools, transformers would choose it instead of the trained one.
    kept = {name: text for name, text in others.items() if same and name != "tool_use"}
    if kept:
        note(f"named templates are saved as they are, and not trained: {', '.join(sorted(kept))}")
    if dropped := sorted(others.keys() - kept.keys()):
        note(f"named templates of the tokenizer are not saved, since they are not trained: {', '.join(dropped)}")
    all_named = {**served, **kept}
    return all_named if len(all_named) > 1 else served["default"]


def _add_control_tokens(template: Template, tokenizer: Any, add: bool | None, note: Note) -> int:
    """Add the template's control tokens that the tokenizer lacks, or refuse or note them; return their number.

    The tokens that a plain conversation is written with are required. Others, such as those of tool calls, may be
    several tokens each; this is how some published models encode them. ``add=False`` accepts that for all tokens.
    """
    raw = raw_tokenizer(tokenizer)
    lacking = missing_tokens(facts_of(template).prober, tokenizer_loader.load_tokenizer(tokenizer))
    required = [token.content for token in lacking if not token.rendering.conversation.tools]
    written = (token for token in _control_tokens(template) if raw.token_to_id(token) is None)
    missing = list(dict.fromkeys((*(token.content for token in lacking), *written)))
    if missing and add:
        tokenizer.add_tokens(missing, special_tokens=True)
        note(f"added to the tokenizer: {', '.join(missing)}")
        return len(missing)
    if required and add is None:
        noun = "control token" if len(required) == 1 else "control tokens"
        fits = family_for_tokens({token.content for token in raw.get_added_tokens_decoder().values()})
        raise UsageError(
            f"the tokenizer does not have the {noun} {', '.join(required)}, which {template.name} writes (CT601)",
            hint=(f"the family {fits} has the control tokens of the tokenizer; " if fits else "")
            + "add_tokens: true adds them as special tokens, with new embeddings; add_tokens: false encodes each as "
            "several tokens",
        )
    if missing and add is None:
        note(
            f"the tokenizer encodes each of {', '.join(missing)} as several tokens; "
            "add_tokens: true adds them as special tokens"
        )
    return 0


def _control_tokens(template: Template) -> list[str]:
    """Return the control tokens that the template writes; without a family, only those of an unmistakable form."""
    tokens = facts_of(template).control_tokens
    return [token for token in tokens if template.family is not None or PIPED_CONTROL.fullmatch(token)]


def _align_special_tokens(template: Template, tokenizer: Any, note: Note) -> None:
    """Give the tokenizer the special tokens of the template, so that transformers renders the same text.

    transformers passes ``bos_token`` and the like from the tokenizer to the template. They differ where a family
    declares others, and where the tokenizer was loaded from a file that names none.
    """
    existing = special_tokens_of(tokenizer)
    for name in read_by(template.program.variables):
        token = template.tokens.get(name)
        if (token or None) == existing.get(name):
            continue
        if token and raw_tokenizer(tokenizer).token_to_id(token) is None:
            raise UsageError(
                f"{template.name} writes {token!r} as its {name}, which the tokenizer does not have",
                hint="add it to the tokenizer, or use the template of the model",
            )
        setattr(tokenizer, name, token or None)
        note(f"set the tokenizer's {name} to {token!r}, as {template.name} writes it; it was {existing.get(name)!r}")


def _stop_tokens(template: Template, known: Sequence[str]) -> list[str]:
    """Return the texts that end an assistant turn: those known already, else those of the family or a rendering."""
    if known:
        return list(known)
    if template.family is not None:
        return list(template.family.generation.stop_tokens)
    endings = row_facts(template.alone).endings
    if found := dict.fromkeys(end.stop for ends in endings.values() for end in ends if end.stop):
        return list(found)
    raise UsageError(
        f"cannot tell what ends an assistant turn in {template.name}", hint="for example stop_tokens: ['<|im_end|>']"
    )


def _settle_stop_ids(template: Template, tokenizer: Any, stop_tokens: Sequence[str]) -> dict[int, str]:
    """Return the stop tokens by id, and give the tokenizer a pad and an EOS token if it has none."""
    family = template.family
    explicit = family is None or list(stop_tokens) != list(family.generation.stop_tokens)
    try:
        stops = stop_ids(template, tokenizer, stop_tokens if explicit else None)
    except MissingStopTokens as error:
        error.hint = "add_tokens: true adds those of the template, stop_tokens names others"
        raise
    if tokenizer.eos_token is None:
        tokenizer.eos_token = next(iter(stops.values()))
    if tokenizer.pad_token is None:
        raw = raw_tokenizer(tokenizer)
        known = [pad for pad in _PADS if raw.token_to_id(pad) is not None and raw.token_to_id(pad) not in stops]
        tokenizer.pad_token = known[0] if known else tokenizer.eos_token
    return stops
