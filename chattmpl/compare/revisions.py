"""Templates as git has them in a revision: files are written into a folder that is gone when the work is done."""

from __future__ import annotations

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
"""Larger files of a model directory are weights, and no template."""


def load(which: str, folder: Path, *, retention: str | None = None, variant: str | None = None) -> Template:
    """A template by name, by place, or as ``REVISION:PATH`` in git.

    Args:
        which: what `Template.load` takes, or a revision, a colon and a path.
        folder: where files of the revision are written.
        retention: see `Template.load`.
        variant: likewise.

    Raises:
        UsageError: if there is no such template, path or revision, no repository, or no git.
    """
    revision, colon, path = which.partition(":")
    if not colon or not revision or Path(which).exists():
        return Template.load(which, retention=retention, variant=variant)
    return at(revision, path, folder, retention=retention, variant=variant)


def at(revision: str, path: str, folder: Path, *, retention: str | None = None, variant: str | None = None) -> Template:
    """The template that a path was in a revision; a family's name stands for its folder.

    Raises:
        UsageError: see `load`.
    """
    place = load_family(path).folder if path in family_names() and not Path(path).exists() else Path(path)
    start = next((parent for parent in (place, *place.absolute().parents) if parent.is_dir()), Path())
    here = start if place.is_absolute() else Path()
    root = Path(_git(here, "rev-parse", "--show-toplevel").strip())
    if not _known(root, revision):
        names = _git(root, "for-each-ref", "--format=%(refname:short)").split()
        hint = did_you_mean(revision, names) or "git log --oneline lists revisions"
        raise UsageError(f"git knows no revision {revision!r} in {root}", hint=hint)
    for candidate in _paths(place, root):
        files = _files(root, revision, candidate)
        if files:
            break
    else:
        raise UsageError(
            f"there is no {path} in revision {revision}",
            hint=f"git ls-tree -r --name-only {revision} lists what there is; a path is relative to here or to {root}",
        )
    target = folder / f"{len(list(folder.iterdir()))}"
    for file in files:
        written = target / file
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(_show(root, revision, file))
    label = f"{revision}:{candidate}"
    found = find_template(target / candidate, variant)
    name = found.source.name.replace(str(target / candidate), label)
    if found.family is not None:
        return _renamed(Template(found, retention), label)
    return Template(replace(found, source=Source(found.source.text, name)), retention)


def _renamed(template: Template, label: str) -> Template:
    template.name = label
    return template


def _paths(place: Path, root: Path) -> list[str]:
    """The path from the root of the repository: of a path from here, or as it is."""
    absolute = place.resolve()
    found = [absolute.relative_to(root.resolve()).as_posix()] if absolute.is_relative_to(root.resolve()) else []
    return found if place.is_absolute() else list(dict.fromkeys([*found, place.as_posix()]))


def _files(root: Path, revision: str, path: str) -> list[str]:
    """The files at a path: itself, or those in the folder that it is, but none that are too large to be of use."""
    listed = _git(root, "ls-tree", "-r", "-l", "-z", revision, "--", path)
    files = []
    for entry in filter(None, listed.split("\0")):
        facts, _, name = entry.partition("\t")
        size = facts.split()[-1]
        if size.isdigit() and int(size) <= _MOST_BYTES and ".." not in PurePosixPath(name).parts:
            files.append(name)
    return files


def _known(root: Path, revision: str) -> bool:
    if revision.startswith("-"):
        return False
    command = [_program(), "-C", str(root), "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode == 0


def _program() -> str:
    git = shutil.which("git")
    if git is None:
        raise UsageError("a revision needs git, which is not on PATH", hint="install git, or compare two files")
    return git


def _show(root: Path, revision: str, file: str) -> bytes:
    command = [_program(), "-C", str(root), "show", f"{revision}:{file}"]
    return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True).stdout


def _git(folder: Path, *arguments: str) -> str:
    command = [_program(), "-C", str(folder or "."), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        what = complaint[0].removeprefix("fatal: ") if complaint else "it failed"
        raise UsageError(f"git: {what}", hint="REVISION:PATH names a file of the repository that you are in")
    return done.stdout.decode(errors="surrogateescape")
