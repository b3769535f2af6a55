"""Templates of a git revision, read by writing the files of the revision to a temporary folder."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath

from chattmpl.errors import UsageError, did_you_mean
from chattmpl.source import Source
from chattmpl.template.family import family_names, load_family
from chattmpl.template.resolver import find_template
from chattmpl.template.template import Template

_SECONDS = 60
_MOST_BYTES = 64 << 20
"""Limit of a file's size; larger files of a model directory are weights."""


def load(which: str, folder: Path, *, retention: str | None = None, variant: str | None = None) -> Template:
    """Load a template, which may be given as ``REVISION:PATH``; the files of the revision are written to a folder.

    For the other arguments see `Template.load`.

    Raises:
        UsageError: if the template, path, revision or repository does not exist, or git is not installed.
    """
    revision, colon, path = which.partition(":")
    if not colon or not revision or Path(which).exists():
        return Template.load(which, retention=retention, variant=variant)
    return at(revision, path, folder, retention=retention, variant=variant)


def at(revision: str, path: str, folder: Path, *, retention: str | None = None, variant: str | None = None) -> Template:
    """Load the template at a path of a revision; the name of a family stands for its folder.

    Raises:
        UsageError: see `load`.
    """
    place = load_family(path).folder if path in family_names() and not Path(path).exists() else Path(path)
    start = next((parent for parent in (place, *place.absolute().parents) if parent.is_dir()), Path())
    here = start if place.is_absolute() else Path()
    root = Path(_text(here, "rev-parse", "--show-toplevel").strip())
    commit = ("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if revision.startswith("-") or _run(root, *commit).returncode != 0:
        names = _text(root, "for-each-ref", "--format=%(refname:short)").split()
        hint = did_you_mean(revision, names) or "list the revisions with git log --oneline"
        raise UsageError(f"unknown revision {revision!r} in {root}", hint=hint)
    for candidate in _paths(place, root):
        files = _files(root, revision, candidate)
        if files:
            break
    else:
        raise UsageError(
            f"{path} does not exist in revision {revision}",
            hint=f"list the files with git ls-tree -r --name-only {revision}; paths are relative to here or to {root}",
        )
    target = folder / f"{len(list(folder.iterdir()))}"
    for file in files:
        written = target / file
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(_git(root, "show", f"{revision}:{file}"))
    label = f"{revision}:{candidate}"
    found = find_template(target / candidate, variant)
    name = found.source.name.replace(str(target / candidate), label)
    if found.family is not None:
        template = Template(found, retention)
        template.name = label
        return template
    return Template(replace(found, source=Source(found.source.text, name)), retention)


def _paths(place: Path, root: Path) -> list[str]:
    """Return the candidates for a path relative to the repository: relative to the current folder, or as it is."""
    absolute = place.resolve()
    found = [absolute.relative_to(root.resolve()).as_posix()] if absolute.is_relative_to(root.resolve()) else []
    return found if place.is_absolute() else list(dict.fromkeys([*found, place.as_posix()]))


def _files(root: Path, revision: str, path: str) -> list[str]:
    """Return the file at a path, or the files of the folder, without those that are too large."""
    listed = _text(root, "ls-tree", "-r", "-l", "-z", revision, "--", path)
    files = []
    for entry in filter(None, listed.split("\0")):
        facts, _, name = entry.partition("\t")
        size = facts.split()[-1]
        if size.isdigit() and int(size) <= _MOST_BYTES and ".." not in PurePosixPath(name).parts:
            files.append(name)
    return files


def _text(folder: Path, *arguments: str) -> str:
    return _git(folder, *arguments).decode(errors="surrogateescape")


def _git(folder: Path, *arguments: str) -> bytes:
    """Return the output of git; raise `UsageError` if it fails or is not installed."""
    done = _run(folder, *arguments)
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        what = complaint[0].removeprefix("fatal: ") if complaint else "it failed"
        raise UsageError(f"git: {what}", hint="REVISION:PATH names a file of the current repository")
    return done.stdout


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    git = shutil.which("git")
    if git is None:
        raise UsageError(
            "comparing a revision needs git, which is not on PATH", hint="install git, or compare two files"
        )
    command = [git, "-C", str(folder or "."), *arguments]
    return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
