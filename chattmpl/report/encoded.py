"""The summary and the notes of an encode job for a terminal."""

from collections.abc import Iterator
from typing import Any

from chattmpl.data.job.events import JobNote, JobNoteKind
from chattmpl.data.rows import RejectionReason
from chattmpl.printable import count, visible

REASONS = {
    RejectionReason.JSON: "not JSON",
    RejectionReason.CONVERSATION: "not a conversation",
    RejectionReason.RENDER: "refused by the template",
    RejectionReason.BUDGET: "rendered for too long",
    RejectionReason.ENCODE: "cannot be encoded",
    RejectionReason.ERROR: "unexpected errors",
    RejectionReason.TOO_LONG: "too long",
    RejectionReason.NOTHING_TO_TRAIN: "nothing to train",
}


def note_text(note: JobNote) -> str:
    """Return a note of a job in words."""
    data = note.data
    match note.kind:
        case JobNoteKind.NO_FAST_PATH:
            return f"no fast path for {data['template']}, all rows take the exact path: {'; '.join(data['reasons'])}"
        case JobNoteKind.TEMPLATE:
            return str(data["note"].message())
        case JobNoteKind.FAST_PATH_WRONG:
            return (
                f"the fast path was wrong in {data['rows']} compared rows and was abandoned: encode again with "
                "--fast off, and please report it"
            )
        case JobNoteKind.EMPTY_FILE:
            return f"{data['path']} is empty and is skipped"
        case JobNoteKind.FINISHED_BEFORE:
            return "this job was finished before"
        case JobNoteKind.READING:
            return str(data["note"].message(data["rows"]))


def summary_text(summary: dict[str, Any]) -> str:
    """Return the contents of ``summary.json`` in a few lines."""
    return "\n".join(visible(line) for line in _lines(summary))


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    rows = summary["rows"]
    yield f"{count(rows['rows'], 'row')} read, {count(rows['written'], 'row')} written"
    trained = f"{rows['trained']:,} of them trained ({_part(rows['trained'], rows['tokens'])})"
    yield f"{count(rows['tokens'], 'token')}, {trained}"
    if rows["rejected"]:
        yield f"{count(rows['rejected'], 'row')} rejected ({_part(rows['rejected'], rows['rows'])}):"
        for reason, number in sorted(summary["reasons"].items(), key=lambda pair: (-pair[1], pair[0])):
            yield f"  {number:>9,}  {REASONS.get(reason, reason)}"
    if len(summary["sources"]) > 1 or "epochs" in summary["sources"][0]:
        yield from _sources(summary)
    yield from _notes(summary)


def _sources(summary: dict[str, Any]) -> Iterator[str]:
    sources = summary["sources"]
    width = max(6, *(len(source["name"]) for source in sources))
    yield f"{'source':<{width}}  {'rows':>10}  {'epochs':>7}  {'samples':>10}  {'tokens':>13}  {'share of tokens':>15}"
    for source in sources:
        yield (
            f"{source['name']:<{width}}  {source['rows']:>10,}  {source.get('epochs', 1):>7.2f}  "
            f"{source['samples']:>10,}  {source['tokens']:>13,}  {source['share_of_tokens']:>15.1%}"
        )
    if any("epochs" in source for source in sources):
        yield f"rows drawn with seed {summary['job']['seed']}"


def _notes(summary: dict[str, Any]) -> Iterator[str]:
    cut = summary.get("overflow", {})
    longest = summary["job"]["options"]["max_length"]
    if cut.get("rows"):
        parts = [count(cut[name], word) for name, word in (("turns", "turn"), ("tokens", "token")) if cut.get(name)]
        trained = f", {count(cut['trained'], 'trained token')} among them" if cut.get("trained") else ""
        if parts:
            lost = " and ".join(parts) + trained
            yield f"{count(cut['rows'], 'row')} had more than {longest:,} tokens and lost {lost}"
    if cut.get("split"):
        yield f"{count(cut['split'], 'row')} split"
    if cut.get("spans_cut"):
        yield f"{count(cut['spans_cut'], 'generated span')} cut in the middle"
    if several := summary.get("several"):
        yield (
            f"{count(several['rows'], 'row')} gave {count(several['samples'], 'sample')}, since the template rewrites "
            "earlier turns"
        )
    for name, word in (
        ("straddles", "edges of generated spans inside a token"),
        ("escaped", "control tokens escaped"),
        ("unknown", "texts that are not in the vocabulary"),
    ):
        if some := summary.get(name):
            yield f"{word}: {some['tokens']:,} in {count(some['rows'], 'sample')}"
    if pack := summary.get("pack"):
        yield (
            f"packed to {pack['size']:,} tokens: {count(pack['rows'], 'row')}, {pack['efficiency']:.2%} full "
            f"(trl's bfd: {pack['trl_rows']:,} rows, {pack['trl_efficiency']:.2%})"
        )


def _part(number: int, of: int) -> str:
    return f"{number / of:.1%}" if of else "0%"
