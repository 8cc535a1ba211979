"""Connection to the Ray that trials run on: a running cluster, or a local Ray of our own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
import yaml

from orchestrator.cluster import own_ray
from orchestrator.cluster.capacity import Demand
from orchestrator.cluster.machine import processors
from orchestrator.cluster.ray_private import (
    files_in,
    loopback_only,
    missing_attributes,
    node_messages,
    node_of,
    slow_agents_awaited,
)
from orchestrator.cluster.same_code import check_nodes, code_first
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.process.log import LOG, passed_over
from store.errors import InputError
from trainable.texts import one_line

OBJECT_STORE_BYTES = 200 * 2**20
"""Size of Ray's object store.

It is small, since workers read and write images and weights by themselves.
"""

START_ATTEMPTS = 2
LOG_BYTES, OLDER_LOGS = 4 * 2**20, 1
"""Size in bytes of a worker's log file in a local Ray, and number of older files that stay.

The files hold what a method prints.
"""
NODE_SECONDS = 2.0
"""Longest time in which a node must take a connection."""
AUTOSCALING_FILE = "ray_bootstrap_config.yaml"
"""File in the home folder of the head's user that holds the cluster's configuration, written by ``ray up``."""
_QUIET = {"log_to_driver": False, "logging_level": "error"}


def start_ray(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine.

    Args:
        address: Address of a running cluster, ``auto``, or None: ``RAY_ADDRESS`` if set, else a local Ray of our own.
        cpus: Processors of the local Ray; by default all that this process may use.

    Raises:
        InputError: It does not start, it could be reached from other machines, or credentials came with the job.
    """
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        # A SIGTERM is an orderly end here, not a crash whose addresses the user should read.
        "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Without them what a method prints would fill the disk.
        "RAY_ROTATION_MAX_BYTES": str(LOG_BYTES),
        "RAY_ROTATION_BACKUP_COUNT": str(OLDER_LOGS),
        # Tune's own CSV, JSON and TensorBoard files triple the driver's memory, and the rows hold all of it.
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        # A Ctrl-C is handled by ``Interruption``.
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }.items():
        os.environ.setdefault(name, value)
    if not ray.is_initialized():
        if address or os.environ.get("RAY_ADDRESS"):
            _join(address or "auto")
        else:
            _start_own(lambda: _init_own(cpus))
            own_ray.check_loopback()
    own_ray.refuse_credentials_of_a_job()


def check_workers(address: str) -> None:
    """Refuse a cluster whose workers would run other code than this process, before anything is written.

    Args:
        address: Address of a running cluster, or ``auto``.

    Raises:
        InputError: They would, or the cluster cannot be joined.
    """
    if ray.is_initialized():
        check_nodes()
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        start_ray(address)
        check_nodes()
    except SystemExit as end:
        # So Ray answers a SIGTERM.
        raise KeyboardInterrupt from end
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _join(address: str) -> None:
    try:
        with code_first():
            ray.init(address=address, **_QUIET)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the Ray at {address} cannot be joined ({one_line(str(error), 300)}): see to it that it runs, and that "
            "this machine is one of its nodes (RAY_AUTH_MODE=token where it asks for a token)"
        ) from error


def _init_own(cpus: int | None) -> None:
    # Without "local" Ray would join whatever cluster was last started on this machine.
    settings = {
        "address": "local",
        "num_cpus": cpus or processors(),
        "include_dashboard": False,
        **files_in(own_ray.private_folder()),
    }
    own_ray.make_token()
    with loopback_only(), slow_agents_awaited(), code_first():
        ray.init(**settings, object_store_memory=OBJECT_STORE_BYTES, **_QUIET)
    own_ray.close_token()


def _start_own(start: Callable[[], object]) -> None:
    # On a machine that is busy with other things Ray gives up after half a minute: then once more.
    for attempt in range(START_ATTEMPTS):
        try:
            with _sheltered():
                start()
        except Exception as error:
            ray.shutdown()
            if attempt + 1 == START_ATTEMPTS:
                reason = " ".join(str(error).split())
                busy = "time" in reason.lower()
                remedy = (
                    "end what keeps it busy" if busy else "mend what it names, or give --address of a Ray that runs"
                )
                raise InputError(f"Ray does not start on this machine ({reason}): {remedy}") from error
        else:
            return


@contextlib.contextmanager
def _sheltered() -> Iterator[None]:
    # A terminal that goes sends SIGHUP to all its processes: those of Ray, which inherit what is blocked here, must
    # outlive it until the sweep has ended in order. (Ray itself does so with the SIGINT of a Ctrl-C.)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def make_log_folder(directory: Path | None) -> None:
    """Make the folder of Ray's logs in a sweep's directory.

    Args:
        directory: The sweep's directory; None = it lies in an object store, and nothing is made.

    Raises:
        InputError: It cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     make_log_folder(Path(folder))
        ...     (Path(folder) / "ray").is_dir()
        True
    """
    if directory is None:
        return
    folder = directory / "ray"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Ray's logs need the folder {folder}, which cannot be made ({error.strerror}): move away what stands there"
        ) from error


@contextlib.contextmanager
def ray_log() -> Iterator[None]:
    """Send, within the block, what Ray logs to the sweep's log and not to the screen.

    A user learns of a problem by a trial's error or by the sweep's own sentence.
    """
    logger = logging.getLogger("ray")
    before, levels = logger.level, [(handler, handler.level) for handler in logger.handlers]
    for handler, _ in levels:
        handler.setLevel(logging.CRITICAL + 1)
    files = list(LOG.handlers)
    for file in files:
        logger.addHandler(file)
    logger.setLevel(logging.INFO)
    for name in missing_attributes():
        LOG.warning("this Ray, %s, has no %s, which is used where there is one", ray.__version__, name)
    LOG.info(
        "workers write their logs to %s/logs in Ray's folder on their node (/tmp/ray by default, /tmp/lnl-%d/ray for a "
        "Ray of our own)",
        ray.get_runtime_context().get_session_name(),
        os.geteuid(),
    )
    try:
        with node_messages(lambda line: logger.warning("%s", line)):
            yield
    finally:
        for file in files:
            logger.removeHandler(file)
        logger.setLevel(before)
        for handler, level in levels:
            handler.setLevel(level)


def living_nodes() -> list[Mapping[str, float]]:
    """Resources of each node of the connected cluster that is there now."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def cluster_nodes() -> list[Mapping[str, float]]:
    """Resources of each node of the connected cluster.

    A cluster that grows is counted at its largest. Waiting trials make it grow: counted at its present size, it would
    never leave zero.
    """
    nodes = living_nodes()
    growing = largest_cluster(_autoscaling_config()) if _is_head_here() else []
    return growing if len(growing) > len(nodes) else nodes


def demands_of(config: SweepConfig, nodes: Iterable[Mapping[str, float]]) -> dict[str, Demand]:
    """Resources of a trial of each method on such a cluster, by label.

    ``gpu: auto`` counts as one GPU where there are any.

    Args:
        config: The resolved configuration.
        nodes: Resources of each node.

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> config = parse_config("{dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}")
        >>> demands_of(config, [{"CPU": 8.0, "GPU": 2.0}])
        {'erm': Demand(cpu=1, gpu=1.0)}
    """
    cards = sum(node.get("GPU", 0.0) for node in nodes)
    each = {label: config.resources_of(label) for label in (m.label or m.name for m in config.methods)}
    return {label: Demand(resources.cpu, resources.gpu_share(cards)) for label, resources in each.items()}


def largest_cluster(autoscaling: Mapping[str, Any]) -> list[Mapping[str, float]]:
    """Resources of each node of an autoscaling cluster at its largest, the head included.

    Args:
        autoscaling: Configuration that ``ray up`` left on the head: node types, their resources, their largest numbers.

    Returns:
        The nodes. Those with most GPUs come first, where not all types can be at their largest number.

    Example:
        >>> types = {"head": {"resources": {"CPU": 0}}, "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 2}}
        >>> largest_cluster({"head_node_type": "head", "max_workers": 4, "available_node_types": types})
        [{'CPU': 0}, {'CPU': 8, 'GPU': 1}, {'CPU': 8, 'GPU': 1}]
    """
    types = dict(autoscaling.get("available_node_types") or {})
    head = types.pop(autoscaling.get("head_node_type"), None)
    if head is None:
        return []
    workers: list[Mapping[str, float]] = []
    for kind in types.values():
        resources = kind.get("resources") or {}
        if resources:
            workers += [resources] * int(kind.get("max_workers", 0))
    workers.sort(key=lambda resources: (resources.get("GPU", 0), resources.get("CPU", 0)), reverse=True)
    return [head.get("resources") or {}, *workers[: int(autoscaling.get("max_workers", 0))]]


def lost_its_node(actor_id: str | None, error: object) -> bool:
    """Tell if an actor died because its node is gone, and not by a fault of its own.

    The processes of a node end with it. Ray notices their end at once, and the end of the node only after missed health
    checks. Until then Ray reports the death of a worker.

    Args:
        actor_id: The actor, as hexadecimal text; None where it is not known.
        error: Exception by which Ray reports its end.

    Example:
        >>> lost_its_node(None, RuntimeError("out of memory"))
        False
    """
    # Ray says so in words only; its own ``preempted`` is set by an autoscaler alone.
    if not isinstance(error, ray.exceptions.RayActorError):
        return False
    if "node has died" in str(error):
        return True
    node_id = node_of(actor_id)
    with passed_over("the look at a worker's node"):
        return any(node["NodeID"] == node_id and not _answers(node) for node in ray.nodes())
    return False


def _answers(node: Mapping[str, Any]) -> bool:
    if not node["Alive"]:
        return False
    try:
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), NODE_SECONDS).close()
    except OSError:
        return False
    return True


def _is_head_here() -> bool:
    # ray up's file says nothing about another cluster that this machine may be connected to.
    host = str(ray.get_runtime_context().gcs_address).rsplit(":", 1)[0]
    return bool(host == ray.util.get_node_ip_address())


def _autoscaling_config() -> Mapping[str, Any]:
    try:
        tree = yaml.safe_load((Path.home() / AUTOSCALING_FILE).read_text(encoding="utf-8"))
    except (OSError, RuntimeError, yaml.YAMLError):
        return {}
    return tree if isinstance(tree, Mapping) else {}
