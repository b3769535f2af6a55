"""The checks, one session each. ``nox`` runs all of them, as CI does; ``nox -l`` lists them with what they need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "typecheck",
    "docs",
    "tests",
    "data",
    "hostile",
    "node",
    "upstream",
    "playground",
    "train",
    "ray",
]

# Pinned: tests compare with them byte by byte, and a new version should be a change of its own, not a red build.
TRANSFORMERS = "transformers==5.24.*"
MINIJINJA = "minijinja==3.1.*"
TRL = "trl==1.16.*"
XGRAMMAR = "xgrammar==0.2.*"
TORCH = "torch==2.13.0"
"""Pinned exactly, and installed first: a range may resolve to gigabytes of packages for absent devices."""
FORMATS = ("gguf>=0.17", "jsonschema>=4.23")
"""Packages that read GGUF files, and check SARIF against its schema."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Without bytecode, each worker of each session would compile all tests again."""

WORKERS = ("-n", "2")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Makes torch use one thread: models of this size train faster, and parallel tests do not compete for cores."""

REQUIRE = {"CHATTMPL_REQUIRE_UPSTREAM": "1"}
"""Makes a test fail instead of skip if what it compares with cannot be fetched."""


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and check the format with ruff. Needs no other package."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Type-check the package, its tests and this file with mypy, strictly. Needs the core and test dependencies."""
    session.install("mypy>=2.4,<3", "nox", ".[test]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick tests on the installed wheel. Needs the core dependencies: no torch, no node."""
    session.install(".[test]")
    session.run(
        "pytest",
        *WORKERS,
        "-m",
        "not upstream and not node and not data and not ray and not train and not browser and not hostile",
        *session.posargs,
    )


@nox.session
def upstream(session: nox.Session) -> None:
    """Compare with transformers, trl's templates, minijinja, xgrammar and real tokenizers. Needs torch and npm."""
    session.install(TORCH)  # xgrammar imports it.
    session.install(XGRAMMAR, ".[test,data]", TRANSFORMERS, MINIJINJA, *FORMATS, "datasets>=3", "pre-commit>=4")
    required = REQUIRE if shutil.which("npm") else {}
    if not required:
        session.warn("npm is not on PATH, so tests with real tokenizers are skipped")
    env = {**required, "CHATTMPL_REQUIRE_TRANSFORMERS": "1", "CHATTMPL_REQUIRE_XGRAMMAR": "1"}
    session.run("pytest", *WORKERS, "-m", "upstream and not node", *session.posargs, env=env)


@nox.session
def latest(session: nox.Session) -> None:
    """Repeat the session upstream with the newest versions of everything, to see what moved. Not run by default."""
    session.install("--upgrade", ".[test,data]", "transformers", "minijinja", *FORMATS, "datasets", "pre-commit>=4")
    session.run("pip", "freeze")
    session.run("pytest", *WORKERS, "-m", "upstream and not node", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Repeat the sessions data and upstream with the oldest supported version of everything. Not run by default."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    compared = [each for each in extras["train"] if each.startswith(("transformers", "datasets"))]
    given = [*project["dependencies"], *extras["data"], *extras["engines"], *extras["test"], *compared]
    session.install(*map(_oldest, given), *FORMATS, "psutil>=6", "pre-commit>=4")
    session.install("--no-deps", ".")
    session.run("pytest", *WORKERS, "-m", "(data or upstream) and not node", *session.posargs)


def _oldest(requirement: str) -> str:
    """Return a requirement of the oldest version that another one allows, as in ``numpy==1.26.*``."""
    name, _, version = requirement.partition(">=")
    version = version.partition(",")[0]
    return f"{name}=={version}" if version.count(".") > 1 else f"{name}=={version}{'' if '.' in version else '.0'}.*"


@nox.session
def data(session: nox.Session) -> None:
    """Test the encoding of datasets, and the examples of the documentation. Needs the extras data and engines."""
    session.install(".[test,data,engines]", "datasets>=3", "psutil>=6")
    session.run("pytest", *WORKERS, "-m", "data and not upstream", *session.posargs, env={"CHATTMPL_REQUIRE_DATA": "1"})


@nox.session
def ray(session: nox.Session) -> None:
    """Test encoding on a Ray cluster of this machine, and in datasets and PyTorch. Needs ray and torch; no GPU."""
    session.install(TORCH)
    session.install(".[test,ray]", "datasets>=3", "psutil>=6")
    session.run("pytest", "-m", "ray", *session.posargs, env={"CHATTMPL_REQUIRE_RAY": "1", **ONE_THREAD})


@nox.session
def train(session: nox.Session) -> None:
    """Test training with trl, `train` and `prove`. Needs torch, transformers, trl and peft; no GPU."""
    session.install(TORCH)
    session.install(".[test,train]", TRANSFORMERS, TRL)
    env = {"CHATTMPL_REQUIRE_TRAIN": "1", **ONE_THREAD}
    session.run("pytest", *WORKERS, "--dist", "loadfile", "-m", "train", *session.posargs, env=env)


@nox.session
def hostile(session: nox.Session) -> None:
    """Attack what renders and reads, and measure time and memory from outside. Needs the extras data and engines."""
    session.install(".[test,data,engines]")
    # Other files take each worker longer to import than most attacks take.
    files = [str(path) for path in sorted(Path("tests").glob("test_*.py")) if "mark.hostile" in path.read_text()]
    env = {"CHATTMPL_REQUIRE_DATA": "1"}
    session.run("pytest", *WORKERS, "--dist", "worksteal", "-m", "hostile", *(session.posargs or files), env=env)


@nox.session
def node(session: nox.Session) -> None:
    """Compare with @huggingface/jinja. Needs node and npm, and is skipped without them; no torch."""
    if not (shutil.which("node") and shutil.which("npm")):
        session.skip("node and npm are not on PATH, so nothing was compared with @huggingface/jinja")
    session.install(".[test]", MINIJINJA)
    session.run("pytest", *WORKERS, "-m", "node", *session.posargs, env=REQUIRE)


@nox.session
def playground(session: nox.Session) -> None:
    """Test the playground in a browser. Needs Chromium, and is skipped without it; npm to fetch axe; no torch."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    if not (os.environ.get("CHATTMPL_CHROMIUM") or any(map(shutil.which, browsers))):
        session.skip("Chromium is not on PATH, so the playground was not tested (set CHATTMPL_CHROMIUM to its path)")
    session.install(".[test,playground]", "playwright>=1.50")
    required = REQUIRE if shutil.which("npm") else {}
    session.run("pytest", *WORKERS, "-m", "browser", *session.posargs, env=required)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link or a page outside the navigation fails."""
    session.install("mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.28,<2")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})
