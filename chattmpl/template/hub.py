"""The Hugging Face hub: whether it can be reached, and model directories that are downloaded from it."""

from __future__ import annotations

import socket
import threading
import time
from functools import lru_cache
from pathlib import Path

from chattmpl.errors import EncodeError
from chattmpl.template.model_directory import ADDITIONAL, LEGACY_TEMPLATE, PROCESSOR, TEMPLATE, TOKENIZER_FILES

_FILES = [*TOKENIZER_FILES, TEMPLATE, LEGACY_TEMPLATE, PROCESSOR, f"{ADDITIONAL}/*.jinja"]
_FILES += ["config.json", "generation_config.json"]

_SECONDS = 3.0
"""The longest that one attempt to connect may take."""

_FRESH = 60
"""The seconds after which the hub is tried again."""


def is_reachable() -> bool:
    """Return whether the hub can be reached, now or a moment ago.

    Its own client tries for half a minute before it gives up. The hub cannot be reached if ``HF_HUB_OFFLINE`` is set.
    Behind a proxy, it is assumed to be.
    """
    return _answers(int(time.monotonic() // _FRESH))


@lru_cache(maxsize=1)
def _answers(moment: int) -> bool:
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies().keys() & {"https", "http", "all"}:
        return True
    address = urlsplit(constants.ENDPOINT)
    place = (address.hostname or "", address.port or (80 if address.scheme == "http" else 443))
    connected: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection(place, _SECONDS).close()
        except OSError:
            return
        connected.append(True)

    # A name server that does not answer is outside the time limit of the connection.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_SECONDS)
    return bool(connected)


def model_directory(name: str) -> Path:
    """Return the folder with the tokenizer, the configuration and the templates of a model, downloaded if necessary.

    Args:
        name: the hub id, as ``organization/model``.

    Raises:
        OSError, ValueError: there is no such model, or it is neither reachable nor in the local cache.
    """
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=not is_reachable()))


def download_command(name: str) -> str:
    """Return the shell command that downloads such a folder."""
    return f"hf download {name} --include '*.json' '*.jinja' --local-dir FOLDER"


def unreachable_error(name: str) -> EncodeError:
    """Return the error about a tokenizer that is neither a file nor in the local cache, while there is no network."""
    hint = (
        f"download it where there is a network with {download_command(name)}; then name FOLDER"
        if name.count("/") == 1
        else None
    )
    return EncodeError(
        f"there is no file {name!r}, and the hub cannot be reached for a tokenizer of that name", hint=hint
    )
