"""Did an actor die by itself, or with its node?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError

from orchestrator.cluster.nodes import lost_its_node

DIED = RayActorError(error_msg="The actor is dead because its worker process has died.")


@pytest.fixture
def raylet(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What listens where the node's raylet would; the node itself has not been missed yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = {"NodeID": "n1", "Alive": True, "NodeManagerAddress": "127.0.0.1"}
        node["NodeManagerPort"] = server.getsockname()[1]
        monkeypatch.setattr(ray, "nodes", lambda: [node])
        monkeypatch.setattr(ray._private.state, "actors", lambda actor_id: {"Address": {"NodeID": actor_id}})
        yield server


def test_a_worker_that_died_alone(raylet: socket.socket) -> None:
    assert not lost_its_node("n1", DIED)


def test_a_worker_whose_raylet_is_gone_too(raylet: socket.socket) -> None:
    raylet.close()
    assert lost_its_node("n1", DIED)


@pytest.mark.parametrize(
    ("actor", "error"), [("n2", DIED), (None, DIED), ("n1", ValueError("node has died")), ("n1", None)]
)
def test_what_is_not_known_is_the_trials_own(raylet: socket.socket, actor: str | None, error: Any) -> None:
    raylet.close()
    assert not lost_its_node(actor, error)


def test_what_ray_says_counts(raylet: socket.socket) -> None:
    assert lost_its_node(None, RayActorError(error_msg="The actor died because its node has died."))
