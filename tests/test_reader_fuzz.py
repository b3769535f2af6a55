"""Broken files of every kind end with rows, with rejected rows or with one error, in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chattmpl.conversation.files import load_conversations
from chattmpl.errors import ChatTmplError
from support.extras import need

need("numpy", "pyarrow", "yaml", "zstandard")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import zstandard  # noqa: E402

from chattmpl.data.config_file import read_config  # noqa: E402
from chattmpl.data.job.options import Options  # noqa: E402
from chattmpl.data.job.shard import read_conversation  # noqa: E402
from chattmpl.data.mixture import MixtureSource, load_mixture  # noqa: E402
from chattmpl.data.sources import find_files, read  # noqa: E402
from chattmpl.template.family import read_family, shipped_folder  # noqa: E402
from chattmpl.template.resolver import find_template  # noqa: E402

pytestmark = [pytest.mark.data, pytest.mark.hostile]

TRIES = 40
MEMORY = 30 << 20
ROWS = [
    {"messages": [{"role": "user", "content": f"Hi {n} é"}, {"role": "assistant", "content": "A"}], "n": n}
    for n in range(12)
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CONFIG = {
    "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
    "eos_token": {"content": "</s>"},
    "added_tokens_decoder": {"1": {"content": "</s>", "special": True}},
}
MIXTURE = """seed: 1
sources:
  - path: a.jsonl
    share: 0.5
    chat_template_kwargs: &k {a: [1, 2]}
  - {path: b, share: 1, chat_template_kwargs: *k}
"""
PARTS = (
    b"[",
    b"{",
    b'"',
    b"\\",
    b"\x00",
    b"\xff",
    b"\n",
    b"9" * 5000,
    b"[" * 2000,
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"&a",
    b"*a",
)


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def arrow(new: Callable[..., Any]) -> bytes:
    table, sink = pa.Table.from_pylist(ROWS), io.BytesIO()
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def rows_of(path: Path) -> None:
    source = MixtureSource(path=str(path), name="a")
    for file in find_files(str(path)):
        for row in read(file):
            read_conversation(row, source, Options())


def family_of(path: Path) -> None:
    (path.parent / "template.jinja").write_text("{{ messages }}", encoding="utf-8")
    read_family.cache_clear()
    read_family(path.parent)


CSV = "messages,n\n" + "".join('"' + json.dumps(row["messages"]).replace('"', '""') + '",1\n' for row in ROWS)
FILES: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "rows.jsonl": (LINES, rows_of),
    "rows.jsonl.gz": (gzip.compress(LINES), rows_of),
    "rows.jsonl.zst": (zstandard.compress(LINES), rows_of),
    "rows.json": (json.dumps(ROWS).encode(), rows_of),
    "rows.csv": (CSV.encode(), rows_of),
    "rows.parquet": (parquet(), rows_of),
    "stream.arrow": (arrow(pa.ipc.new_stream), rows_of),
    "file.arrow": (arrow(pa.ipc.new_file), rows_of),
    "talk.json": (json.dumps(ROWS[0]).encode(), lambda path: list(load_conversations(path))),
    "talks.jsonl": (LINES, lambda path: list(load_conversations(path))),
    "mixture.yaml": (MIXTURE.encode(), load_mixture),
    "config.toml": (b"a = 1\n[b.c]\nd = [1, {e = 'f'}]\n[[g]]\nh = 1979-05-27\n", read_config),
    "tokenizer_config.json": (json.dumps(CONFIG).encode(), find_template),
    "family.toml": ((shipped_folder("templates") / "qwen3" / "family.toml").read_bytes(), family_of),
}


def broken(data: bytes, chance: random.Random) -> bytes:
    """Cut, repeat, overwrite and insert."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                del made[at : at + chance.randint(1, 40)]
            case 1:
                made[at:at] = chance.choice(PARTS)
            case 2:
                made[at : at + 4] = chance.randbytes(4)
            case 3:
                made[at:at] = made[at : at + chance.randint(1, 200)] * chance.randint(1, 5)
            case _:
                del made[at:]
    return bytes(made)


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_ends_with_rows_or_with_one_error(name: str, tmp_path: Path) -> None:
    data, reader = FILES[name]
    reader_path = tmp_path / name
    reader_path.write_bytes(data)
    reader(reader_path)
    chance = random.Random(name)
    tracemalloc.start()
    try:
        for number in range(TRIES):
            made = broken(data, chance)
            reader_path.write_bytes(made)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    reader(reader_path)
                except ChatTmplError:
                    pass
                except Exception as error:
                    pytest.fail(f"try {number} of {name} ended with {error!r}: {made[:200]!r}")
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < MEMORY + 50 * len(made), f"try {number} took {peak - before:,} bytes"
    finally:
        tracemalloc.stop()
