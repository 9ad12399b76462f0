"""Model files on a Hugging Face hub, through `huggingface_hub`; needs `deepthrift[hub]`."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deepthrift._types.errors import DownloadError, MissingExtra

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SPLIT: Final = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MOST_NAMES: Final = 30


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository."""

    path: str
    """Below the root of the repository."""
    size: int
    sha256: str
    """As the hub itself states it."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of a repository at one commit; of a split set, every file in order."""

    repository: str
    commit: str
    licence: str | None
    files: tuple[HubFile, ...]


def find(repository: str, wanted: str | None, revision: str | None) -> HubModel:
    """Ask the hub what a repository holds, and choose the model file.

    Args:
        repository: `owner/name`.
        wanted: A file, or a pattern such as `*Q4_K_M*`; of a split set any part stands for all. May be left out if
            there is but one model.
        revision: A branch, tag or commit; left out, the main branch.

    Raises:
        MissingExtra: `deepthrift[hub]` is not installed.
        DownloadError: There is no such repository or file, or more than one file fits.
    """
    api = _api()
    try:
        told = api.model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:  # huggingface_hub raises its own, httpx's and ValueError
        raise _failed(repository, error) from None
    found: dict[str, HubFile] = {}
    for each in told.siblings or ():
        if each.rfilename.endswith(".gguf") and each.lfs is not None and each.size is not None:
            found[each.rfilename] = HubFile(each.rfilename, each.size, each.lfs.sha256)
    chosen = _choose(repository, sorted(found), wanted)
    card = told.card_data
    licence = card.get("license") if card is not None else None
    return HubModel(
        repository=repository,
        commit=told.sha or revision or "main",
        licence=licence if isinstance(licence, str) else None,
        files=tuple(found[name] for name in chosen),
    )


def fetch(model: HubModel, file: HubFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
    """Fetch one file below `folder`, going on where an earlier try was cut; its path there.

    Raises:
        DownloadError: It could not be fetched.
    """
    api: Any = _api()
    bar: Any = importlib.import_module("huggingface_hub.utils").tqdm

    def update(self: Any, n: float | None = 1) -> object:
        shown = bar.update(self, n)
        on_bytes(int(self.n))
        return shown

    def display(self: Any, *unused: object, **also: object) -> None:
        """Nothing is drawn here."""

    told = type("Told", (bar,), {"update": update, "display": display, "monitor_interval": 0})
    try:
        path = api.hf_hub_download(
            model.repository, file.path, revision=model.commit, local_dir=folder, tqdm_class=told
        )
    except (OSError, DownloadError):
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("huggingface_hub", "httpx", "httpx2", "requests", "builtins"):
            raise _failed(model.repository, error) from error
        raise  # the caller's own, from `on_bytes`
    return Path(path)


def _api() -> HfApi:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtra("models of a Hugging Face repository need: pip install 'deepthrift[hub]'")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when it is first imported
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _choose(repository: str, names: list[str], wanted: str | None) -> list[str]:
    fits = [name for name in names if wanted is None or name == wanted or fnmatch.fnmatch(name, wanted)]
    if not fits and wanted is not None:  # a pattern is usually meant for the end of the path
        fits = [name for name in names if fnmatch.fnmatch(name, f"*{wanted}")]
    sets = {_set_of(name) for name in fits}
    if len(sets) != 1:
        known = "".join(f"\n  {name}" for name in (fits or names)[:_MOST_NAMES]) or " none"
        what = "Several models" if sets else "No model"
        raise DownloadError(f"{what} in {repository!r} fits; choose one with --file. Its GGUF files are:{known}")
    return [name for name in names if _set_of(name) in sets]


def _set_of(name: str) -> str:
    match = _SPLIT.fullmatch(name)
    return name if match is None else f"{match[1]} of {match[3]}"


def _failed(repository: str, error: Exception) -> DownloadError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 or status == 403:
        why = "it is private or gated: accept its terms on its page, and set HF_TOKEN"
    elif status == 404:
        why = "there is no such repository, revision or file"
    else:
        why = f"{type(error).__name__}"
    return DownloadError(f"The hub did not give {repository!r}: {why}.")
