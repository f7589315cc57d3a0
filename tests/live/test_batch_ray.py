"""A batch on a Ray cluster of two nodes, which this starts: keys, deaths, and what is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batches import asked, check_once, held, lines, read_lines, write_lines
from tests.command import PATIENCE, provider, started
from tests.recorder import Recorder
from tests.waiting import come_to

pytest.importorskip("ray", reason="needs the extra ray, which is not installed")

pytestmark = pytest.mark.live

Write = Callable[..., Path]
Adapter = Callable[..., "subprocess.CompletedProcess[str]"]

KEY = "sk-that-the-nodes-alone-have"
NUMBER = 60

# The head has no CPU for actors, so that there is one on each of the two nodes.
CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster
quick = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500,
         "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}
cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 0, "_system_config": quick, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()
print(json.dumps(cluster.address), flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print(json.dumps("removed"), flush=True)
cluster.shutdown()
"""


class Cluster:
    """The cluster's side of the test; each node has ``P_KEY`` in its environment."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path, home: Path) -> None:
        self._process = process
        self.temporary = temporary
        self.home = home
        self.address = str(self._read())

    def _read(self) -> Any:
        assert self._process.stdout is not None
        while not (text := self._process.stdout.readline()).startswith('"'):
            assert text, "the cluster has ended"
        return json.loads(text)

    def remove_node(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._read()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    temporary = Path("/tmp", f"r{os.getpid()}")  # sockets have short paths
    temporary.mkdir(exist_ok=True)
    home = tmp_path_factory.mktemp("nodes")
    environ = {**os.environ, "P_KEY": KEY, "RAY_USAGE_STATS_ENABLED": "0"}
    environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    environ |= {"RAY_TMPDIR": str(temporary), "XDG_CONFIG_HOME": str(home), "HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Cluster(process, temporary, home)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE)
            subprocess.run(["rm", "-rf", str(temporary)], check=True)


@pytest.fixture(autouse=True)
def configured(write: Write, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has the provider, and no key."""
    write(provider(server.base_url, "p", api_key_env="P_KEY"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    write_lines(lines(NUMBER))


def arguments(cluster: Cluster, *more: str) -> list[str]:
    ray = ("--engine", "ray", "--address", cluster.address)
    return ["batch", "in.jsonl", "out.jsonl", *ray, "--processes", "2", *more]


def actors() -> list[int]:
    """Return the processes of actors, as Ray names them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_actors_on_two_nodes_answer_and_one_that_dies_costs_what_it_had(
    cluster: Cluster, server: Recorder, adapter: Adapter
) -> None:
    with (
        held(server, after=10) as release,
        started(*arguments(cluster, "--concurrency", "6")) as process,
    ):
        assert come_to(lambda: len(server.requests) >= 16)
        assert len(actors()) == 2
        os.kill(actors()[0], signal.SIGKILL)
        release.set()
        code = process.wait(PATIENCE)
        assert process.stderr is not None
        shown = process.stderr.read()

    assert code == 0, shown
    check_once(NUMBER)
    assert {request.key for request in server.requests} == {KEY}
    assert sum(asked(server).values()) <= NUMBER + 6
    assert adapter(*arguments(cluster)).returncode == 0  # nothing is left, so no actor starts
    files = [path for path in cluster.temporary.rglob("*") if path.is_file()]
    assert files
    leaks = [path for path in [*files, *Path().iterdir()] if KEY.encode() in path.read_bytes()]
    assert leaks == []
    assert KEY.encode() not in shown


def test_a_key_that_a_node_lacks_is_told_before_anything_is_sent(
    cluster: Cluster, server: Recorder, adapter: Adapter, write: Write
) -> None:
    """One that is written out does not travel; that of the node's own configuration is used."""
    write(provider(server.base_url, "p", api_key="sk-of-the-driver"))

    done = adapter(*arguments(cluster))

    assert done.returncode == 3
    assert "on a node: provider 'p' takes its key from $P_API_KEY" in done.stderr
    assert server.requests == []
    assert "sk-of-the-driver" not in done.stderr
    folder = cluster.home / "gptme"
    folder.mkdir(parents=True)
    (folder / "gptme.toml").write_text(provider(server.base_url, "p", api_key="sk-of-the-nodes"))
    assert adapter(*arguments(cluster)).returncode == 0
    assert {request.key for request in server.requests} == {"sk-of-the-nodes"}


def test_a_node_that_dies_costs_what_it_had_and_unknown_is_told(
    cluster: Cluster, server: Recorder
) -> None:
    with (
        held(server, after=10) as release,
        started(*arguments(cluster, "--concurrency", "6", "--no-repeat")) as process,
    ):
        assert come_to(lambda: len(server.requests) >= 16)
        cluster.remove_node()
        assert come_to(lambda: len(actors()) < 2)  # a node's processes end a moment later
        release.set()
        code = process.wait(PATIENCE)

    assert code == 1
    check_once(NUMBER)
    assert set(asked(server).values()) == {1}
    failed = read_lines("out.errors.jsonl")
    assert {one["error"]["code"] for one in failed} == {"unknown"}
    assert 1 <= len(failed) <= 6
