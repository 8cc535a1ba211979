"""What docs/cluster.md says about a day without spot machines holds for the Ray that is pinned.

Ray's autoscaler ranks node types that could not be had below others, but only those whose instances never became
ready. A launch that EC2 refuses at once is forgotten, so the type of highest priority is asked for again and again. If
a new Ray remembers it, this fails, and the documentation has a better story to tell.
"""

from __future__ import annotations

from typing import Any

import pytest
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent


def ranks_after(status: Any) -> dict[str, float]:
    monitor = CloudResourceMonitor()
    monitor.notify([InstanceUpdateEvent(instance_id="i", new_instance_status=status, instance_type="gpu_spot")])
    found: dict[str, float] = monitor.get_recoverable_resource_availabilities()
    return found


def test_a_refused_launch_is_forgotten() -> None:
    assert ranks_after(Instance.ALLOCATION_FAILED) == {}


def test_an_instance_that_never_became_ready_is_remembered() -> None:
    assert ranks_after(Instance.ALLOCATION_TIMEOUT) == {"gpu_spot": pytest.approx(0.0)}
