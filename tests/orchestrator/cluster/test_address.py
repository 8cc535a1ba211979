"""A Ray cluster that cannot be joined: one sentence, exit code 2, and nothing is touched."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from orchestrator.cli import main
from orchestrator.cluster import address as address_module
from orchestrator.cluster import ray_private
from orchestrator.cluster.address import check_cluster, check_form
from orchestrator.process.ports import free_ports
from store.errors import InputError
from tests.orchestrator.support import TINY


@pytest.mark.parametrize(
    "address",
    ["ray://127.0.0.1:10001", "127.0.0.1", "local", "host:0", "host:70000", "host:port", "a b:1", "https://h:8265"],
)
def test_what_is_no_address_of_a_cluster(address: str) -> None:
    with pytest.raises(InputError, match=r"auto or HOST:PORT, but got"):
        check_form(address)


@pytest.mark.parametrize("address", ["", "auto", "127.0.0.1:6379", "head:6379", "[::1]:6379"])
def test_addresses_of_clusters(address: str) -> None:
    check_form(address)


@pytest.mark.parametrize("how", ["--address", "RAY_ADDRESS"])
def test_where_nothing_listens_nothing_is_made(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    words = ["--address", address] if how == "--address" else []
    if not words:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert main(["run", "tiny.yaml", "--out", "out", *words]) == 2
    shown = capfd.readouterr().err
    assert shown.count("\n") == 1 and f"no Ray can be reached at {address} (Connection refused)" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_host_that_has_no_address() -> None:
    with pytest.raises(InputError, match=r"no Ray can be reached at no-such-host\.invalid:6379"):
        check_cluster("no-such-host.invalid:6379")


def test_no_ray_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Other programs' Rays on the machine of the tests are left out.
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: None)
    monkeypatch.setattr(ray_private, "use_token_if_there_is_one", lambda: None)
    with pytest.raises(InputError, match="no Ray can be reached at auto"):
        check_cluster("auto")


def test_what_listens_is_no_ray(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(address_module, "ANSWER_SECONDS", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InputError, match="no answer within 1 s"):
            check_cluster(f"127.0.0.1:{silent.getsockname()[1]}")
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def asks_for_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the control process of a Ray that was started where ``~/.ray/auth_token`` exists; it has no node."""
    home, port = tmp_path_factory.mktemp("home"), free_ports(1)[0]
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    program = Path(ray.__file__).parent / "core/src/ray/gcs/gcs_server"
    command = [program, f"--log_dir={home}", f"--config_list={base64.b64encode(b'{}').decode()}", "--session-name=s"]
    process = subprocess.Popen(
        [*command, f"--gcs_server_port={port}", "--metrics-agent-port=-1", "--node-ip-address=127.0.0.1"],
        env={**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_cluster_that_asks_for_a_token_names_the_variable(asks_for_token: str) -> None:
    # Of Ray's own accord a token is sent to a cluster that it finds by itself, and to no address that it is given.
    with pytest.raises(InputError, match=f"the Ray at {asks_for_token} refuses this process.*RAY_AUTH_MODE=token"):
        check_cluster(asks_for_token)


def test_a_token_is_asked_for_and_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.authentication import authentication_token_setup as setup

    def missing(*_: Any, **__: Any) -> None:
        raise RuntimeError("no token found")

    monkeypatch.setattr(setup, "ensure_token_if_auth_enabled", missing)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InputError, match="RAY_AUTH_MODE=token needs a token, but there is none"):
            check_cluster(f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [([0], "this machine is no node of the Ray at"), ([1], "no living node"), ([], "no living node")],
)
def test_a_cluster_without_a_node_here(nodes: list[int], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {ray.NodeID.from_random(): SimpleNamespace(state=state) for state in nodes}
    client = SimpleNamespace(get_all_node_info=lambda timeout: answer)
    monkeypatch.setattr("ray._raylet.GcsClient", lambda address: client)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InputError, match=reason):
            check_cluster(f"127.0.0.1:{silent.getsockname()[1]}")
