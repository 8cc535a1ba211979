"""Private attributes of Ray that its driver uses, all in this file and named in ``ATTRIBUTES``.

Two more, which a worker needs, stand in ``trainable.tune_trainable``, that package's only file that imports Ray.

Each function notices a version of Ray that lacks the attribute: it works without it or refuses, as its docstring says.
A test names the attribute that a Ray lacks, and ``driver.log`` does so too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from orchestrator.process.log import passed_over
from orchestrator.process.ports import free_ports
from store.errors import InputError
from store.object_store import CREDENTIALS

AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""Ports of a node's two agents: arguments of ``start_raylet``, and first parts of the names of the files with them."""
_TOKENS = "ray._private.authentication.authentication_token_setup"
_TUNE = "ray.tune.execution"

ATTRIBUTES: Mapping[str, str] = {
    "ray._private.accelerators:get_accelerator_manager_for_resource": "",
    f"{_TOKENS}:AuthenticationTokenLoader.instance": "",
    f"{_TOKENS}:ensure_token_if_auth_enabled": "",
    f"{_TOKENS}:enable_token_auth_by_default": "2.59",
    f"{_TOKENS}:maybe_enable_token_auth_if_token_available": "2.59",
    "ray._private.ray_constants:ENABLE_RAY_CLUSTER": "",
    "ray._private.services:canonicalize_bootstrap_address": "",
    "ray._private.services:find_node_ids": "",
    "ray._private.services:start_raylet": "",
    "ray._private.state:actors": "",
    "ray._private.worker:global_worker.get_err_file_path": "",
    "ray._private.worker:global_worker.node": "",
    "ray._private.node:Node.get_logs_dir_path": "",
    "ray._private.worker:print_to_stdstream": "",
    "ray._raylet:GcsClient": "",
    "ray._raylet:InnerGcsClient.get_all_node_info": "",
    "ray.actor:ActorHandle._actor_id": "",
    f"{_TUNE}.class_cache:ENV_VARS_TO_PROPAGATE": "",
    f"{_TUNE}.class_cache:_ActorClassCache.get": "",
    f"{_TUNE}.tune_controller:TrialRunnerWrapper._tune_controller": "",
    f"{_TUNE}.tune_controller:TuneController._actor_cache": "",
    f"{_TUNE}.tune_controller:TuneController._actor_manager": "",
    f"{_TUNE}.tune_controller:TuneController._pending_trials": "",
    f"{_TUNE}.tune_controller:TuneController._trial_to_actor": "",
    f"{_TUNE}.tune_controller:RayActorManager.is_actor_started": "",
    f"{_TUNE}.tune_controller:_ObjectCache.has_cached_object": "",
    "ray.tune.experiment.trial:Trial.pickled_error_file": "",
    "ray.tune.experiment.trial:Trial.temporary_state": "",
    "ray.tune.experiment.trial:_TemporaryTrialState.ray_actor": "",
}
"""Map from ``module:name`` to the first version of Ray that has it, or to "" where every allowed version has it."""
_ALIVE = 0
"""Value of ``GcsNodeInfo.ALIVE``."""


def missing_attributes(attributes: Mapping[str, str] = ATTRIBUTES) -> list[str]:
    """Names in ``ATTRIBUTES`` that the installed Ray lacks although its version should have them.

    Example:
        >>> missing_attributes({"ray.tune:Tuner._moved": ""})
        ['ray.tune:Tuner._moved']
    """
    return [
        name for name, since in attributes.items() if _version(ray.__version__) >= _version(since) and not _has(name)
    ]


def _version(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)[:2]]


def _has(name: str) -> bool:
    module, _, path = name.partition(":")
    try:
        owner: Any = importlib.import_module(module)
    except ImportError:
        return False
    for part in path.split("."):
        if hasattr(owner, part):
            owner = getattr(owner, part)
        else:
            return inspect.isclass(owner) and _sets(owner, part)
    return True


def _sets(owner: type, attribute: str) -> bool:
    """Tell if the source of a class names an attribute of its objects.

    False for compiled classes, which have no source.
    """
    return re.search(rf"\bself\.{attribute}\b", _source(owner)) is not None


@functools.cache
def _source(owner: type) -> str:
    # Finding a class parses its whole file each time.
    try:
        return inspect.getsource(owner)
    except (OSError, TypeError):
        return ""


@contextlib.contextmanager
def no_variables_in_runtime_environments() -> Iterator[None]:
    """Keep Tune, within the block, from giving this process's variables to its workers.

    By itself it puts ``AWS_SECRET_ACCESS_KEY`` and others into the workers' runtime environment, which Ray writes into
    a log that everybody on the node may read. Workers get what they need as attributes of the trainable's class.

    Raises:
        InputError: Credentials are set, and this Ray would write them down all the same.
    """
    try:
        from ray.tune.execution import class_cache
    except ImportError:
        class_cache = None
    before = getattr(class_cache, "ENV_VARS_TO_PROPAGATE", None)
    if before is not None:
        class_cache.ENV_VARS_TO_PROPAGATE = frozenset()
    try:
        variables = _worker_variables(class_cache)
        names = [name for name in CREDENTIALS if name in os.environ and (variables is None or name in variables)]
        if names:
            raise InputError(
                f"Ray {ray.__version__} writes {', '.join(names)} into its logs, which is known to be prevented for "
                "2.60: install ray==2.60.0, or unset the variables"
            )
        yield
    finally:
        if before is not None:
            class_cache.ENV_VARS_TO_PROPAGATE = before


def _worker_variables(class_cache: Any) -> Mapping[str, str] | None:
    """Variables that Tune gives to a worker, by name.

    None where Tune does not say.
    """
    try:
        worker = class_cache._ActorClassCache().get(type("Worker", (), {}))
        return dict(worker._default_options["runtime_env"]["env_vars"])
    except (AttributeError, KeyError, TypeError):
        return None


def files_in(folder: str | None) -> dict[str, Any]:
    """Arguments of ``ray.init`` that put Ray's files into a folder.

    A Ray without this argument refuses to start.

    Example:
        >>> files_in("/tmp/own-ray")
        {'_temp_dir': '/tmp/own-ray'}
    """
    return {"_temp_dir": folder}


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Make a Ray that is started within the block listen on the loopback address alone.

    Ray does so by itself on macOS and Windows. Elsewhere it replaces a loopback address that it is given.
    """
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    if before is None:
        # Seen by ``check_loopback``.
        yield
        return
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def slow_agents_awaited() -> Iterator[None]:
    """Make a node that is started within the block wait for its two agents without a limit.

    The agents are programs in Python. Ray's raylet waits 15 s, which no setting changes, for the files in which they
    write their ports, and then ends, while the driver goes on waiting for it: on a busy machine no sweep would start.
    Here the ports are chosen and written beforehand, and the agents use them.
    """
    try:
        from ray._private import services
    except ImportError:
        yield
        return
    start = services.start_raylet
    signature = inspect.signature(start)
    known = {*AGENT_PORTS, "session_dir", "node_id"} <= signature.parameters.keys()

    def start_with_ports(*values: Any, **named: Any) -> Any:
        given = signature.bind_partial(*values, **named)
        for name, free in zip(AGENT_PORTS, free_ports(len(AGENT_PORTS)), strict=True):
            port = given.arguments.get(name) or free
            file = Path(given.arguments["session_dir"], f"{name}_{given.arguments['node_id']}")
            file.write_text(str(port))
            given.arguments[name] = port
        return start(*given.args, **given.kwargs)

    services.start_raylet = start_with_ports if known else start
    try:
        yield
    finally:
        services.start_raylet = start


def ensure_token(make_elsewhere: Callable[[], bool]) -> None:
    """Make the token of a local Ray, as Ray does.

    Nothing is made where this Ray asks for no token, or makes it in another way.

    Args:
        make_elsewhere: Makes a token in another place, where Ray's own cannot be written. It returns False where it
            must not.

    Raises:
        Exception: Ray's reason why there is none.
    """
    try:
        from ray._private.authentication import authentication_token_setup as setup

        enable, ensure = setup.enable_token_auth_by_default, setup.ensure_token_if_auth_enabled
    except (ImportError, AttributeError):
        return
    logger = logging.getLogger(setup.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        enable()
        try:
            ensure()
        except Exception:
            if not make_elsewhere():
                raise
            setup.AuthenticationTokenLoader.instance().reset_cache()
            ensure()
    finally:
        logger.setLevel(level)


def use_token_if_there_is_one() -> None:
    """Use this user's token, as ``ray.init`` does for a cluster that it finds by itself.

    For a cluster with a given address ``ray.init`` does not.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def check_token() -> None:
    """Raise where ``RAY_AUTH_MODE`` asks for a token and there is none.

    Ray itself would end the process.

    Raises:
        Exception: Ray's reason.
    """
    try:
        from ray._private.authentication import authentication_token_setup as setup

        ensure = setup.ensure_token_if_auth_enabled
    except (ImportError, AttributeError):
        return
    ensure(None, create_token_if_missing=False)


def address_here() -> str | None:
    """Address of the cluster that runs on this machine, or None where there is none.

    Raises:
        Exception: Ray cannot tell.
    """
    from ray._private import services

    address = services.canonicalize_bootstrap_address("auto")
    return str(address) if address else None


def living_nodes(address: str, seconds: float) -> set[str]:
    """Identifiers of the living nodes of the cluster at an address.

    Args:
        address: ``HOST:PORT``.
        seconds: Longest time to wait for an answer.

    Raises:
        Exception: Ray's reason. AttributeError, ImportError or TypeError come from a Ray with another interface.
    """
    client = importlib.import_module("ray._raylet").GcsClient(address=address)
    nodes = client.get_all_node_info(timeout=seconds)
    return {node_id.hex() for node_id, node in nodes.items() if node.state == _ALIVE}


def nodes_here() -> set[str]:
    """Identifiers of the nodes that run on this machine, of any cluster."""
    from ray._private import services

    return set(services.find_node_ids())


def gpus_here() -> float:
    """Number of GPUs that a Ray started here would have.

    Infinite where this Ray counts them in another way.
    """
    with passed_over("the count of this machine's GPUs"):
        accelerators = importlib.import_module("ray._private.accelerators")
        manager = accelerators.get_accelerator_manager_for_resource("GPU")
        count = manager.get_current_node_num_accelerators()
        visible = manager.get_current_process_visible_accelerator_ids()
        return float(count if visible is None else min(count, len(visible)))
    return float("inf")


def worker_scripts() -> Path:
    """Folder of Ray's own worker script, which is on the path of every worker.

    Example:
        >>> (worker_scripts() / "default_worker.py").is_file()
        True
    """
    return Path(ray.__file__).parent / "_private" / "workers"


def logs_here() -> Path | None:
    """Folder of the logs of this machine's workers, or None where Ray does not say."""
    with passed_over("the look for Ray's logs"):
        return Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    return None


@contextlib.contextmanager
def node_messages(log: Callable[[str], None]) -> Iterator[None]:
    """Log, within the block, messages such as "(raylet) A worker died or was killed".

    A thread of Ray prints them on the standard output, whatever ``log_to_driver`` and ``logging_level`` say. A Ray that
    shows them in another way goes on doing so.
    """
    worker = ray._private.worker
    show = getattr(worker, "print_to_stdstream", None)
    if show is None:
        yield
        return

    def keep(data: Mapping[str, Any], *rest: Any, **more: Any) -> None:
        if data.get("pid") != "raylet":
            show(data, *rest, **more)
            return
        for line in data.get("lines", ()):
            log(f"(raylet) {line}")

    worker.print_to_stdstream = keep
    try:
        yield
    finally:
        worker.print_to_stdstream = show


def node_of(actor_id: str | None) -> str | None:
    """Ray's identifier of the node that an actor ran on, or None where it is not known."""
    if actor_id is None:
        return None
    with passed_over("the look for a worker's node"):
        return str(ray._private.state.actors(actor_id)["Address"]["NodeID"])
    return None


def actor_of(trial: Any) -> Any:
    """Handle of the worker of one of Tune's trials.

    None where the trial has no worker, or where this Ray does not say.
    """
    return getattr(getattr(trial, "temporary_state", None), "ray_actor", None)


def actor_id_of(trial: Any) -> str | None:
    """Identifier of the worker of one of Tune's trials, as hexadecimal text."""
    identifier = getattr(actor_of(trial), "_actor_id", None)
    return None if identifier is None else str(identifier.hex())


def last_error_of(trial: Any) -> BaseException | None:
    """Last error of one of Tune's trials.

    None where it has none, or where the error cannot be read.
    """
    # Tune's own ``get_error`` gives the text of all errors so far, and nothing of what they were.
    file = getattr(trial, "pickled_error_file", None)
    if file is None:
        return None
    with passed_over("the reading of a trial's error"):
        error = pickle.loads(Path(file).read_bytes())
        return error if isinstance(error, BaseException) else None
    return None


def oldest_waiting(controller: Any, issued: Iterable[str]) -> Any:
    """Oldest trial that waits for a slot, without those whose worker is just being started.

    Args:
        controller: Controller that Tune hands to its scheduler.
        issued: Ray's identifiers of the issued trials, oldest first.

    Returns:
        The trial, or None where none waits.

    Raises:
        AttributeError: This Ray lacks one of these attributes.
    """
    run = controller._tune_controller
    pending = {trial.trial_id: trial for trial in run._pending_trials}
    waiting = [pending[name] for name in issued if name in pending]
    waiting = [trial for trial in waiting if not _worker_starts(run, trial)]
    free = (trial for trial in waiting if run._actor_cache.has_cached_object(trial.placement_group_factory))
    return next(free, waiting[0] if waiting else None)


def _worker_starts(run: Any, trial: Any) -> bool:
    """Tell if a trial has its resources and waits for its worker alone."""
    worker = run._trial_to_actor.get(trial)
    return worker is not None and run._actor_manager.is_actor_started(worker)
