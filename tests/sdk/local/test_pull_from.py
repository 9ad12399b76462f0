"""Models from a hub, a URL or a path: resumed, verified, pinned, and complete or not there at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from deepthrift.errors import ConfigurationError, DownloadError, ModelFileError
from deepthrift.local import Engine, models
from deepthrift.local._models import download as _download
from deepthrift.local._models import hub as _hub
from deepthrift.local._models import pull_from as _pull_from
from deepthrift.local.models import PullProgress
from tests.cli.processes import COMMAND, deepthrift, environment
from tests.sdk.local.hub_server import COMMIT, Hub, running_hub, sha256
from tests.support.tiny_gguf import tiny_gguf

SPLIT = "UD/Tiny-V3.1-{:05}-of-00002.gguf"


@pytest.fixture(scope="module")
def tiny() -> bytes:
    return tiny_gguf("answer").read_bytes()


@pytest.fixture
def hub(tiny: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    other = b"GGUF" + bytes(100)
    with running_hub({"Tiny-Q4_K_M.gguf": tiny, "Tiny-Q2.gguf": other, "README.md": b"# Tiny"}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_HOME", str(models.models_folder() / "hf-home"))
        yield running
        close_session()  # huggingface_hub keeps its connections for the next download


def lock() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((models.models_folder() / "models.lock.json").read_text())[
        "models"
    ]
    return found


def test_a_repository_is_fetched_verified_and_pinned(hub: Hub, tiny: bytes) -> None:
    seen: list[PullProgress] = []
    path = models.pull("hf:someone/models", seen.append, file="*Q4_K_M*")
    assert path.read_bytes() == tiny
    assert [step.stage for step in seen][-1] == "ready"
    assert max(step.done for step in seen) == len(tiny)
    entry = lock()["tiny-q4_k_m"]
    assert entry["source"] == "hf:someone/models"
    assert entry["revision"] == COMMIT
    assert entry["files"] == [{"name": "Tiny-Q4_K_M.gguf", "size": len(tiny), "sha256": sha256(tiny)}]
    [info] = [each for each in models.list_models() if each.name == "tiny-q4_k_m"]
    assert (info.path, info.sha256, info.thinking) == (path, sha256(tiny), "switch")
    assert models.path_of("tiny-q4_k_m") == path
    asked = len(hub.requests)
    assert models.pull("tiny-q4_k_m") == path
    assert len(hub.requests) == asked, "what is here is not asked for again"
    assert models.remove("tiny-q4_k_m") == len(tiny)
    assert "tiny-q4_k_m" not in lock()
    assert not path.exists()


def test_which_file_is_meant_must_be_clear(hub: Hub) -> None:
    with pytest.raises(DownloadError, match=r"(?s)Several models.*--file.*Tiny-Q2\.gguf\n  Tiny-Q4_K_M\.gguf"):
        models.pull("hf:someone/models")
    with pytest.raises(DownloadError, match=r"(?s)No model.*Tiny-Q4_K_M"):
        models.pull("hf:someone/models", file="*Q8*")
    with pytest.raises(DownloadError, match="no such repository"):
        models.pull("hf:someone/else")
    with pytest.raises(ConfigurationError, match="hf:owner/name"):
        models.pull("hf:no-owner")


def test_a_cut_download_goes_on_where_it_was(hub: Hub, tiny: bytes) -> None:
    hub.cut_after = 15_000_000
    path = models.pull("hf:someone/models", file="*Q4_K_M*")
    assert path.read_bytes() == tiny
    ranges = [span for method, path, span in hub.requests if method == "GET" and path.endswith(".gguf") and span]
    assert ranges, "the rest was asked for by its range"


def test_another_hash_than_the_hub_states_is_thrown_away(hub: Hub) -> None:
    hub.lie["Tiny-Q4_K_M.gguf"] = "0" * 64
    with pytest.raises(DownloadError):
        models.pull("hf:someone/models", file="*Q4_K_M*")
    assert not list(models.models_folder().rglob("Tiny-Q4_K_M.gguf"))
    assert not [each for each in models.list_models() if "tiny" in each.name]


def test_a_file_that_is_no_model_is_told_and_not_kept(hub: Hub) -> None:
    with pytest.raises(ModelFileError):
        models.pull("hf:someone/models", file="*Q2*")
    assert not list(models.models_folder().rglob("Tiny-Q2.gguf"))


def test_other_hashes_than_the_lock_files_are_refused_until_meant(hub: Hub, tiny: bytes) -> None:
    path = models.pull("hf:someone/models", file="*Q4_K_M*")
    changed = tiny[:-1] + bytes([tiny[-1] ^ 1])
    hub.files["Tiny-Q4_K_M.gguf"], hub.commit = changed, "f" * 40
    path.unlink()
    with pytest.raises(DownloadError, match="--update"):
        models.pull("tiny-q4_k_m")
    models.pull("tiny-q4_k_m", update=True, file="*Q4_K_M*")
    assert path.read_bytes() == changed
    assert lock()["tiny-q4_k_m"]["revision"] == "f" * 40


def test_a_url_needs_its_hash_and_goes_on_where_it_was_cut(hub: Hub, tiny: bytes) -> None:
    url = f"{hub.url}/files/Tiny-Q4_K_M.gguf?signature=secret"
    with pytest.raises(ConfigurationError, match="--sha256"):
        models.pull(url)
    with pytest.raises(DownloadError, match="thrown away"):
        models.pull(url, sha256="1" * 64)
    hub.cut_after = 5_000_000
    with pytest.raises(DownloadError, match="go on from there"):
        models.pull(url, sha256=sha256(tiny), save_as="mine")
    hub.requests.clear()
    path = models.pull(url, sha256=sha256(tiny), save_as="mine")
    assert path.read_bytes() == tiny
    [begun] = [int(span[6:-1]) for method, _, span in hub.requests if method == "GET" and span]
    assert 0 < begun <= 5_000_000
    assert "secret" not in (models.models_folder() / "models.lock.json").read_text()


def test_a_path_stays_where_it_is(tiny: bytes, tmp_path: Path) -> None:
    mine = tmp_path / "My Model.gguf"
    mine.write_bytes(tiny)
    assert models.pull(str(mine)) == mine
    assert models.path_of("my-model") == mine
    shutil.copy(mine, tmp_path / "other.gguf")
    with pytest.raises(ConfigurationError, match="another --name"):
        models.pull(str(tmp_path / "other.gguf"), save_as="my-model")
    mine.write_bytes(tiny[:-1] + b"x")
    with pytest.raises(ModelFileError, match="damaged or was changed"):
        models.path_of("my-model")
    assert models.remove("my-model") == 0
    assert mine.exists()


def test_too_little_room_is_told_before_anything_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DownloadError, match="does not have that much room"):
        models.pull("hf:someone/models", file="*Q4_K_M*")
    assert not [path for method, path, _ in hub.requests if method == "GET" and path.endswith(".gguf")]


def test_a_split_set_is_fetched_whole() -> None:
    names = [SPLIT.format(2), SPLIT.format(1), "Tiny-Q2.gguf"]
    assert _hub._choose("someone/models", sorted(names), "*-00002-of-*") == [SPLIT.format(1), SPLIT.format(2)]
    assert _hub._choose("someone/models", sorted(names), "UD/*") == [SPLIT.format(1), SPLIT.format(2)]


def test_choices_fit_and_say_what_was_tested() -> None:
    everything = models.choices()
    assert [each.name for each in everything if each.tested] == ["smollm2-135m"]
    assert {each.name for each in models.fitting(memory_gb=8, disk_gb=3)} == {
        "qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "smollm2-135m",
    }  # fmt: skip
    switches = [each.thinking == "switch" for each in everything]
    assert switches == sorted(switches, reverse=True), "hybrid models first"
    with pytest.raises(ModelFileError, match="deepthrift models pull qwen3-4b"):
        models.resolve("qwen3-4b")


@pytest.mark.slow
@pytest.mark.engine
async def test_what_was_pulled_runs_by_its_name(hub: Hub) -> None:
    models.pull("hf:someone/models", file="*Q4_K_M*", save_as="mine")
    async with Engine("mine", context=512) as engine:
        assert engine.model == "mine"
        assert engine.profile.exact_prompts


@pytest.mark.slow
def test_two_processes_fetch_once(hub: Hub, tiny: bytes) -> None:
    code = "from deepthrift.local import models; models.pull('hf:someone/models', file='*Q4_K_M*')"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [each.wait(60) for each in running] == [0, 0]
    got = [path for method, path, _ in hub.requests if method == "GET" and path.endswith("Q4_K_M.gguf")]
    assert len(got) == 1
    assert models.path_of("tiny-q4_k_m").read_bytes() == tiny


class Both:
    """Two files at two URLs that come by the same name, the first of which is being pulled."""

    def __init__(self, hub: Hub, tiny: bytes) -> None:
        self.other = tiny[:-1] + bytes([tiny[-1] ^ 1])
        self.hub, self.tiny = hub, tiny
        hub.files.update({"one/model.gguf": tiny, "two/model.gguf": self.other})
        hub.hold.add("one/model.gguf")
        self.first = self.pulling("one", tiny)
        assert hub.held.wait(100)

    def pulling(self, folder: str, content: bytes, *more: str) -> subprocess.Popen[str]:
        """A process that pulls one of them."""
        options = ["--sha256", sha256(content), *more]
        command = [*COMMAND, "models", "pull", f"{self.hub.url}/files/{folder}/model.gguf", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--update",)])
def test_another_file_under_the_same_name_is_refused_while_one_is_pulled(
    hub: Hub, tiny: bytes, more: tuple[str, ...]
) -> None:
    both = Both(hub, tiny)
    second = both.pulling("two", both.other, *more)
    _, said = second.communicate()
    assert second.returncode == 2
    assert "'model' is being pulled from" in said
    assert "one/model.gguf' right now" in said
    assert "--name" in said
    # In this process, too, and by its type.
    with pytest.raises(ConfigurationError, match="right now"):
        models.pull(f"{hub.url}/files/two/model.gguf", sha256=sha256(both.other))
    with pytest.raises(ConfigurationError, match="right now"):
        models.pull(f"{hub.url}/files/one/model.gguf", sha256=sha256(both.other))
    hub.release.set()
    both.first.communicate()
    assert both.first.returncode == 0
    assert models.path_of("model").read_bytes() == tiny
    assert lock()["model"]["source"] == f"{hub.url}/files/one/model.gguf"
    assert not list(models.models_folder().rglob(".pull*"))


@pytest.mark.slow
def test_the_same_file_pulled_twice_at_once_is_fetched_once(hub: Hub, tiny: bytes) -> None:
    both = Both(hub, tiny)
    waiting = threading.Event()

    def progress(now: PullProgress) -> None:
        if now.stage == "waiting":
            waiting.set()
            hub.release.set()

    path = models.pull(f"{hub.url}/files/one/model.gguf", progress, sha256=sha256(tiny))
    assert waiting.is_set()
    both.first.communicate()
    assert both.first.returncode == 0
    assert path.read_bytes() == tiny
    got = [each for method, each, _ in hub.requests if method == "GET" and each.endswith("model.gguf")]
    assert len(got) == 1


def test_a_name_that_was_taken_meanwhile_is_not_taken_over(
    hub: Hub, tiny: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file is read once more where nobody else can change it."""
    mine = tmp_path / "model.gguf"
    mine.write_bytes(tiny)
    hub.files["one/model.gguf"] = tiny
    remote_size = _download.remote_size

    def taken_meanwhile(url: str) -> int | None:
        models.pull(str(mine))
        return remote_size(url)

    monkeypatch.setattr(_download, "remote_size", taken_meanwhile)
    monkeypatch.setattr(_pull_from, "_known", lambda request, name: None)
    with pytest.raises(ConfigurationError, match="already"):
        models.pull(f"{hub.url}/files/one/model.gguf", sha256=sha256(tiny))
    assert models.path_of("model") == mine


def test_parts_of_another_file_are_not_gone_on_with(hub: Hub, tiny: bytes) -> None:
    """A pull that was cut leaves parts; another file of the same name begins anew."""
    other = tiny[:-1] + bytes([tiny[-1] ^ 1])
    hub.files.update({"one/model.gguf": tiny, "two/model.gguf": other})
    hub.cut_after = 5_000_000
    with pytest.raises(DownloadError, match="go on from there"):
        models.pull(f"{hub.url}/files/one/model.gguf", sha256=sha256(tiny))
    path = models.pull(f"{hub.url}/files/two/model.gguf", sha256=sha256(other))
    assert path.read_bytes() == other


def test_what_is_asked_for_is_never_left_out(hub: Hub, tiny: bytes, tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(tiny)
    with pytest.raises(DownloadError, match="not the one given"):
        models.pull("hf:someone/models", file="*Q4_K_M*", sha256="0" * 64)
    assert not list(models.models_folder().rglob("Tiny-Q4_K_M.gguf"))
    models.pull("hf:someone/models", file="*Q4_K_M*", sha256=sha256(tiny))
    for wrong in ({"file": "*"}, {"revision": "main"}, {"sha256": "0" * 64}):
        with pytest.raises(ConfigurationError, match="--update"):
            models.pull("tiny-q4_k_m", **wrong)  # type: ignore[arg-type]
    assert models.pull("tiny-q4_k_m", sha256=sha256(tiny)).exists()
    for source in (str(mine), f"{hub.url}/files/Tiny-Q4_K_M.gguf"):
        with pytest.raises(ConfigurationError, match="chooses within a repository"):
            models.pull(source, revision="main")
    for name in ("tiny-q4_k_m", "qwen3-4b"):
        with pytest.raises(ConfigurationError, match="only a source is given one"):
            models.pull(name, save_as="other")


@pytest.mark.slow
def test_from_the_command_line(hub: Hub, tiny: bytes) -> None:
    ran = deepthrift("models", "pull", "hf:someone/models", "--file", "*Q4_K_M*", "--name", "mine", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["name"], told["sha256"]) == ("mine", sha256(tiny))
    assert "mine" in deepthrift("models").out
