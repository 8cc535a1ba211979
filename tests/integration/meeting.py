"""A place at which the workers of several nodes wait for one another before they train.

Trials of a second take less time than a worker needs to start on a busy machine: by themselves the first node's workers
may be done with all of them before another node has one.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 240.0
"""Longest wait of a worker."""


@contextmanager
def meeting(*hosts: str) -> Iterator[int]:
    """Serve a meeting of these hosts' workers; within the block it has this port.

    Args:
        hosts: Host names of the nodes.
    """
    came: set[str] = set()
    changed = threading.Condition()

    class Arrival(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            name = self.rfile.readline().decode().strip()
            with changed:
                came.add(name)
                changed.notify_all()
                changed.wait_for(lambda: came.issuperset(hosts), SECONDS)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Arrival) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def meeting_trainable(port: int) -> type:
    """The trainable of a sweep, whose workers first wait at a meeting.

    Args:
        port: That of the meeting.

    Returns:
        The class, which travels by value.
    """
    import socket

    from trainable.tune_trainable import SweepTrainable

    class MeetingTrainable(SweepTrainable):
        def setup(self, config: Any) -> None:
            with socket.create_connection(("127.0.0.1", port)) as place:
                place.sendall(f"{socket.gethostname()}\n".encode())
                # The other end closes when all are there.
                place.recv(1)
            super().setup(config)

    return MeetingTrainable
