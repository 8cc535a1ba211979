"""Ports that are free, and stay so until they are used."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from orchestrator.process import ports
from orchestrator.process.ports import FIRST_PORT, free_ports


def test_they_differ_and_lie_below_what_the_kernel_hands_out() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        assert min(found) >= FIRST_PORT and max(found) < client.getsockname()[1]


def test_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST_PORT", 20500)
    with socket.socket() as taken:
        # Whoever has it, it is not free.
        try:
            taken.bind(("127.0.0.1", 20501))
            taken.listen()
        except OSError:
            pass
        assert free_ports(1, end=20504, beyond=1)[0] in (20502, 20503)
        with pytest.raises(OSError, match="fewer than 4 ports from 20500 to 20503 are free"):
            free_ports(4, end=20504)


@pytest.mark.parametrize("text", ["", "no number", "1024 65535"])
def test_a_kernel_that_leaves_no_room(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_KERNELS_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text(text)
    assert FIRST_PORT <= free_ports(1)[0] < 32768
    (tmp_path / "range").unlink()
    assert FIRST_PORT <= free_ports(1)[0] < 32768
