"""How a client would speak to a local model, told without starting or fetching anything: what a plan needs to know."""

from __future__ import annotations

from pathlib import Path

from deepthrift.hosts import HostProfile
from deepthrift.local import models
from deepthrift.local._engine.profile import profile_for
from deepthrift.local._engine.settings import usual_context
from deepthrift.local._models.gguf import read_header
from deepthrift.local._process.start import LOOPBACK


def planned_profile(model: str | Path | None = None) -> HostProfile:
    """The profile that `Engine(model)` would have, told from the model's file, or by the registry if it is not here.

    Raises:
        ModelFileError: There is no such model, or its file is damaged.
    """
    found = models.resolve(model)
    url = f"http://{LOOPBACK}"
    path, name = (found, found.stem) if isinstance(found, Path) else (found.path, found.name)
    if path is not None:
        header = read_header(path)
        return profile_for(header, model=name, url=url, context=usual_context(header.context_length))
    # What is not here and known all the same is of the registry, and of SmolLM2's family.
    profile = HostProfile.named("local")
    limit = None if isinstance(found, Path) else found.context
    update = {"base_url": f"{url}/v1", "model": name, "context": usual_context(limit)}
    return profile.model_copy(update=update)
