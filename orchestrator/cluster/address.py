"""Check of a Ray cluster's address, before anything is written.

Ray itself would need minutes to notice that a connection fails.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator

from orchestrator.process.log import LOG
from store.errors import InputError
from trainable.texts import one_line

CONNECT_SECONDS = 10.0
"""Longest time in which a port must take a connection."""
ANSWER_SECONDS = 35.0
"""Longest time in which a running Ray answers, also on a busy machine."""

_ADDRESS = re.compile(r"\[?([^\[\]/\s]+)\]?:(\d{1,5})")
_TOKEN = (
    "set RAY_AUTH_MODE=token where the cluster was started with one, and bring that cluster's ~/.ray/auth_token here"
)


def check_form(address: str) -> None:
    """Refuse a text that is no address of a Ray cluster.

    Args:
        address: ``auto`` or ``HOST:PORT``; empty = none was given.

    Raises:
        InputError: It is another text.

    Example:
        >>> check_form("auto")
        >>> check_form("head")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        store.errors.InputError: the address of a Ray cluster is auto or HOST:PORT, but got 'head': ...
    """
    if not address or address == "auto":
        return
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"the address of a Ray cluster is auto or HOST:PORT, but got '{address}', which jobs are submitted to: "
            "give --address, or unset RAY_ADDRESS for a Ray of its own"
        )
    parts = _ADDRESS.fullmatch(address)
    if parts is None or not 0 < int(parts[2]) < 65536:
        raise InputError(
            f"the address of a Ray cluster is auto or HOST:PORT, but got '{one_line(address, 100)}': give --address as "
            "ray start --head prints it, or leave it out (and unset RAY_ADDRESS) for a Ray of its own"
        )


def check_cluster(address: str) -> None:
    """Refuse a cluster that cannot be joined from this machine, within a minute.

    Args:
        address: ``auto`` or ``HOST:PORT``.

    Raises:
        InputError: Nothing answers there, it asks for a token, or this machine is none of its nodes.
    """
    import ray

    if ray.is_initialized():
        return
    if address == "auto":
        address = _address_here()
    _check_port(address)
    failures: list[BaseException] = []
    with _quiet():
        # A thread, since Ray waits in its own code: nothing but the end of the process would end that.
        asking = threading.Thread(target=_ask, args=(address, failures), daemon=True)
        asking.start()
        asking.join(ANSWER_SECONDS)
    if asking.is_alive():
        raise _unreachable(address, f"no answer within {ANSWER_SECONDS:.0f} s")
    if failures:
        raise _in_words(address, failures[0]) from failures[0]


def _unreachable(address: str, reason: str) -> InputError:
    return InputError(
        f"no Ray can be reached at {address} ({reason}): start one (ray start --head), correct --address or "
        "RAY_ADDRESS, or leave both out for a Ray of its own"
    )


def _in_words(address: str, error: BaseException) -> InputError:
    if isinstance(error, InputError):
        return error
    if type(error).__name__ == "AuthenticationError" or "AuthToken" in str(error):
        return InputError(f"the Ray at {address} refuses this process, whose token is missing or another one: {_TOKEN}")
    return _unreachable(address, one_line(str(error), 200))


def _address_here() -> str:
    from orchestrator.cluster import ray_private

    with _quiet():
        try:
            ray_private.use_token_if_there_is_one()
            address = ray_private.address_here()
        except Exception as error:
            raise _unreachable("auto", one_line(str(error), 200)) from error
    if address is None:
        raise _unreachable("auto", "none runs on this machine")
    return address


def _check_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from error


def _ask(address: str, failures: list[BaseException]) -> None:
    try:
        from orchestrator.cluster import ray_private

        _check_token(address)
        alive = ray_private.living_nodes(address, ANSWER_SECONDS)
        if not alive:
            raise _unreachable(address, "it has no living node")
        if alive.isdisjoint(ray_private.nodes_here()):
            raise InputError(
                f"this machine is no node of the Ray at {address}, which a driver must run on: start lnl-sweep on one "
                f"of its {len(alive)} nodes (ray job submit), or join it here (ray start --address={address})"
            )
    except (ImportError, AttributeError, TypeError):
        # A Ray that keeps these things elsewhere: its own answer comes later.
        LOG.warning("the Ray at %s is not asked before it is joined", address, exc_info=True)
    except BaseException as error:
        failures.append(error)


def _check_token(address: str) -> None:
    from orchestrator.cluster import ray_private

    try:
        ray_private.check_token()
    except Exception as error:
        raise InputError(
            f"RAY_AUTH_MODE=token needs a token, but there is none: copy that of the Ray at {address} to "
            "~/.ray/auth_token, or unset RAY_AUTH_MODE where it asks for none"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide, within the block, what Ray logs and what its C++ code writes on the standard error."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        kept = os.dup(2)
    except OSError:
        kept = -1
    try:
        if kept >= 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
        yield
    finally:
        logger.setLevel(level)
        if kept >= 0:
            os.dup2(kept, 2)
            os.close(kept)
