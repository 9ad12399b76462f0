"""A Ray cluster of several nodes on this machine, one of which can be killed.

It runs in a process of its own, so that nothing of Ray's comes into the tests':

    with ray_cluster(nodes=2, variables={…}) as cluster: ...
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Cluster:
    """A running cluster; `address` is where processes of this machine join it, `door` is where others reach it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.address = self._told()
        self.door = self._told()

    def _told(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("cluster: "):
                return line.removeprefix("cluster: ").strip()
        raise AssertionError("the cluster did not start")

    def kill_node(self) -> None:
        """Kill a node other than the head with SIGKILL, with all that runs on it."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._told() == "killed"

    def written(self) -> str:
        """All that Ray has logged."""
        logs = [path for path in self._folder.rglob("*") if path.is_file() and path.suffix in (".log", ".out", ".err")]
        assert logs
        return "".join(path.read_text("utf-8", "replace") for path in logs)


@contextlib.contextmanager
def ray_cluster(nodes: int, variables: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster whose nodes have `variables` in their environment."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("sdk", "router", "pricing", "."))
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # the paths of its sockets have to be short
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_TMPDIR": str(folder),
        "GRPC_ENABLE_FORK_SUPPORT": "0",  # with it, what Ray's door starts for a client dies now and then as it is born
    }
    environment = dict(os.environ, PYTHONPATH=paths, **settings, **variables)
    command = [sys.executable, __file__, str(nodes), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield Cluster(process, folder)
    finally:
        process.communicate()  # the end of its input is the end of the cluster
        shutil.rmtree(folder, ignore_errors=True)


def serve(nodes: int, folder: str) -> None:
    """The process of the cluster."""
    from ray.cluster_utils import Cluster as Nodes

    from tests.support.ports import dead_port

    def node() -> dict[str, object]:
        # With ports that are told, a node does not wait for its agents, for whose start a busy machine takes too long.
        ports = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
        fixed = {name: dead_port() for name in ports}
        return {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False, **fixed}

    door = dead_port()
    cluster = Nodes(
        initialize_head=True, head_node_args={**node(), "temp_dir": f"{folder}/ray", "ray_client_server_port": door}
    )
    more = [cluster.add_node(**node()) for _ in range(nodes - 1)]
    print(f"cluster: {cluster.address}\ncluster: ray://127.0.0.1:{door}", flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(more.pop(), allow_graceful=False)
            print("cluster: killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
