"""Free TCP ports for programs that start later."""

from __future__ import annotations

import random
import socket
from pathlib import Path

FIRST_PORT = 20100
"""Above those that Ray keeps for its workers, 10002 to 19999."""
_ATTEMPTS = 500
_KERNELS_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KERNELS_FIRST = 32768


def free_ports(count: int, end: int | None = None, beyond: int = 0) -> list[int]:
    """Find ports that nothing listens on, below those that the kernel hands out by itself.

    No client of anybody's can then take one before its server does, which may be seconds later. (A node of Ray one of
    whose agents finds its port taken ends, and says so in its log alone.)

    Args:
        count: Number of ports, all different.
        end: All are below it; None = the first that the kernel hands out.
        beyond: Each port + ``beyond`` is free as well.

    Returns:
        The ports, in no order.

    Raises:
        OSError: There are not so many.

    Example:
        >>> len(set(free_ports(3)))
        3
    """
    first = _first_of_kernel()
    last = min(first, end or first)
    found: list[int] = []
    for port in random.SystemRandom().sample(range(FIRST_PORT, last), min(_ATTEMPTS, last - FIRST_PORT)):
        if all(_is_free(number) for number in {port, port + beyond}):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"fewer than {count} ports from {FIRST_PORT} to {last - 1} are free")


def _first_of_kernel() -> int:
    try:
        first = int(_KERNELS_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _KERNELS_FIRST
    # Where the kernel hands out nearly all there are, none is safe, and any will do.
    return first if first > FIRST_PORT + _ATTEMPTS else _KERNELS_FIRST


def _is_free(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind(("", port))
    except OSError:
        return False
    return True
