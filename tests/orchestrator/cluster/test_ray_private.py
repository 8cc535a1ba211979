"""Secrets that Ray is kept from, and that a Ray which keeps these things elsewhere is noticed."""

from __future__ import annotations

import ast
import inspect
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import services
from ray._private.authentication import authentication_token_setup
from ray.tune.execution import class_cache

from orchestrator.cluster import own_ray, ray_private
from orchestrator.cluster.ray_private import AGENT_PORTS, no_variables_in_runtime_environments, slow_agents_awaited
from store.errors import InputError
from store.object_store import CREDENTIALS

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "trainable" / "tune_trainable.py"
"""What a worker needs of Ray's private attributes stands there."""


def test_the_installed_ray_has_every_private_attribute_that_is_used() -> None:
    assert ray_private.missing_attributes() == [], "where does this Ray keep them? See orchestrator/cluster/ray_private"


@pytest.mark.parametrize("name", ray_private.ATTRIBUTES)
def test_an_attribute_that_a_ray_lacks_is_named(name: str) -> None:
    module, _, path = name.partition(":")
    moved = {
        name: ray_private.ATTRIBUTES[name],
        f"{name}_moved": "",
        f"{module}_moved:{path}": "",
        f"{name}_new": "1000.0",
    }
    assert ray_private.missing_attributes(moved) == [f"{name}_moved", f"{module}_moved:{path}"]


def private_names(path: Path) -> set[str]:
    """Private attributes, and private modules, that a file asks for; those of ``self`` not."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    asked = [node for node in nodes if isinstance(node, ast.Attribute)]
    names = {node.attr for node in asked if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ray"):
            names.update(alias.name for alias in node.names)
            names.update(str(node.module).split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Names of modules and of attributes that are asked for by their names.
            names.update(re.findall(r"(?<!\w)_\w+", node.value) if re.fullmatch(r"[\w.]+", node.value) else ())
    return {name for name in names if re.match(r"_[a-zA-Z]", name)}


def test_no_other_file_touches_a_private_attribute_of_ray() -> None:
    files = [path for package in ("orchestrator", "trainable") for path in (ROOT / package).rglob("*.py")]
    naming = {path for path in files if re.search(r"^\s*(import|from) ray\b", path.read_text("utf-8"), re.MULTILINE)}
    here = ROOT / "orchestrator" / "cluster" / "ray_private.py"
    assert {here, WORKER} < naming
    others = {str(path.relative_to(ROOT)): private_names(path) for path in naming - {here, WORKER}}
    assert {path: names & PARTS for path, names in others.items() if names & PARTS} == {}
    assert private_names(here) <= PARTS and private_names(WORKER) & {"_private", "_raylet"} == {"_private"}


PARTS = {part for name in ray_private.ATTRIBUTES for part in re.split(r"[.:]", name) if part.startswith("_")} | {
    # The options of a worker's class, and an argument of ray.init.
    "_default_options",
    "_temp_dir",
}


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.setenv(name, f"planted-{name}")


def told() -> Mapping[str, str]:
    """Variables that Tune would give its workers."""
    found = class_cache._ActorClassCache().get(type("Trial", (), {}))
    return dict(found._default_options["runtime_env"]["env_vars"])


def test_tune_gives_its_workers_none_of_the_variables_that_it_would_give() -> None:
    before = class_cache.ENV_VARS_TO_PROPAGATE
    # Ray's own habit: where it changes, what is undone here is to be looked at again.
    assert {name for name in told() if name in os.environ} >= set(CREDENTIALS)
    with no_variables_in_runtime_environments():
        assert not set(told()) & set(os.environ)
    assert class_cache.ENV_VARS_TO_PROPAGATE is before


@pytest.mark.parametrize("moved", ["list", "options", "cache"])
def test_a_ray_that_propagates_them_in_another_way_is_refused(moved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"runtime_env": {"env_vars": {name: os.environ[name] for name in CREDENTIALS}}}
    if moved == "list":
        # The name of the list is another one.
        cache = SimpleNamespace(get=lambda trial: SimpleNamespace(_default_options=options))
        monkeypatch.delattr(class_cache, "ENV_VARS_TO_PROPAGATE")
        monkeypatch.setattr(class_cache, "_ActorClassCache", lambda: cache)
    elif moved == "options":
        cache = SimpleNamespace(get=lambda trial: SimpleNamespace(options=options))
        monkeypatch.setattr(class_cache, "_ActorClassCache", lambda: cache)
    else:
        monkeypatch.delattr(class_cache, "_ActorClassCache")
    refused = pytest.raises(InputError, match=r"writes AWS_ACCESS_KEY_ID, .* into its logs")
    with refused, no_variables_in_runtime_environments():
        raise AssertionError("the sweep has begun")
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with no_variables_in_runtime_environments():
        pass


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_in_a_jobs_runtime_environment_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(**variables: str) -> None:
        context = SimpleNamespace(runtime_env={"env_vars": variables} if variables else {})
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)

    for variables in ({}, {"LNL_SWEEP_DATA": "s3://bucket/data"}):
        given(**variables)
        own_ray.refuse_credentials_of_a_job()
    given(**{name: "planted"})
    with pytest.raises(InputError, match=f"but {name} does") as caught:
        own_ray.refuse_credentials_of_a_job()
    assert "planted" not in str(caught.value)


def test_a_local_ray_that_others_can_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    own_ray.check_loopback()
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "192.0.2.7")
    with pytest.raises(InputError, match=r"must listen on 127.0.0.1 alone, but .* listens on 192.0.2.7"):
        own_ray.check_loopback()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_file_that_others_can_read_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own_ray.close_token()
    assert list(tmp_path.iterdir()) == []
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("token")
    token.chmod(0o644)
    own_ray.close_token()
    assert mode(token) == 0o600 and token.read_text() == "token"


def test_ray_makes_its_token_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(authentication_token_setup, "enable_token_auth_by_default"):
        pytest.skip(f"Ray {ray.__version__} makes no token by itself")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(authentication_token_setup, "enable_token_auth_by_default", lambda: True)
    # Whether this process has a token already does not matter here.
    make = authentication_token_setup.generate_and_save_token
    monkeypatch.setattr(authentication_token_setup, "ensure_token_if_auth_enabled", make)
    own_ray.make_token()
    assert mode(tmp_path / ".ray" / "auth_token") == 0o600
    (tmp_path / "file").touch()
    assert mode(tmp_path / "file") == 0o666 & ~current_umask()


def current_umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_the_folder_of_a_local_ray_lies_in_one_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp", f"lp{os.getpid()}")
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    closed = short / f"lnl-{os.geteuid()}"
    try:
        assert own_ray.private_folder() == str(closed / "ray") and mode(closed) == 0o700
        closed.chmod(0o777)
        assert own_ray.private_folder() == str(closed / "ray") and mode(closed) == 0o700
        closed.rmdir()
        closed.symlink_to(tmp_path)
        assert own_ray.private_folder() is None
        closed.unlink()
        closed.touch()
        assert own_ray.private_folder() is None
    finally:
        closed.unlink(missing_ok=True)
        short.rmdir()
    # The paths of Ray's sockets would be too long for the kernel.
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 40}")
    assert own_ray.private_folder() is None and not Path(f"/tmp/{'x' * 40}").exists()


def test_the_place_is_the_one_that_ray_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._common import utils

    rays_own = getattr(utils, "get_default_ray_temp_dir", None) or utils.get_ray_temp_dir

    def of(**variables: Any) -> tuple[str, str]:
        for name in ("RAY_TMPDIR", "TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
        monkeypatch.setattr(Path, "lstat", lambda _: os.stat_result((stat.S_IFDIR, 0, 0, 0, os.geteuid(), *[0] * 5)))
        monkeypatch.setattr(Path, "chmod", lambda *_: None)
        return str(own_ray.private_folder()), rays_own()

    for variables in ({}, {"TMPDIR": "/a"}, {"TMPDIR": "/a", "RAY_TMPDIR": "/b"}):
        ours, rays = of(**variables)
        assert ours == rays.removesuffix("ray") + f"lnl-{os.geteuid()}/ray"


def test_ports_of_a_nodes_agents_are_written_down_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = inspect.signature(services.start_raylet)
    # Ray's own arguments: where they change, what is done here is to be looked at again.
    assert {*AGENT_PORTS, "session_dir", "node_id"} <= own.parameters.keys()
    seen: dict[str, Any] = {}

    def start(session_dir: str, node_id: str, **ports: int) -> None:
        seen.update({file.name: int(file.read_text()) for file in Path(session_dir).iterdir()}, **ports)

    start.__signature__ = own  # type: ignore[attr-defined]
    monkeypatch.setattr(services, "start_raylet", start)
    with slow_agents_awaited():
        services.start_raylet(session_dir=str(tmp_path), node_id="n1", dashboard_agent_listen_port=52365)
    assert services.start_raylet is start
    for name in AGENT_PORTS:
        assert seen[name] == seen[f"{name}_n1"]
    assert seen["dashboard_agent_listen_port"] == 52365
    assert len({seen[name] for name in AGENT_PORTS}) == len(AGENT_PORTS)
    # Above, anybody's connection may take one before its agent does, and the node ends.
    assert all(seen[name] < 32768 for name in AGENT_PORTS if name != "dashboard_agent_listen_port")


def test_a_ray_with_other_arguments_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(folder: str) -> str:
        return folder

    monkeypatch.setattr(services, "start_raylet", start)
    with slow_agents_awaited():
        assert services.start_raylet("here") == "here"
