"""Reasons for which a worker's process ended, from what Ray 2.60 says of it and from the last words in its log."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from ray.exceptions import RayActorError

from orchestrator.cluster.worker_deaths import death_of

HEAD = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: A\n\tactor_id: 9daf\n\tpid: 8383\n"
    "\tnamespace: cb14\n\tip: 192.0.2.2\n"
)
DEAD = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
VANISHED = (
    "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called."
)


def died(text: str) -> BaseException:
    return RayActorError(error_msg=text)


def test_the_exit_code_is_kept() -> None:
    error = died(HEAD + DEAD + "Worker exits unexpectedly. Worker exits with an exit code 3.")
    assert death_of(error) == "RayActorError: Worker exits unexpectedly. Worker exits with an exit code 3"


def test_guesses_at_all_causes_there_are_left_out() -> None:
    reason = death_of(died(HEAD + DEAD + VANISHED))
    assert reason.endswith(": Worker unexpectedly exits with a connection error code 2. End of file")


def test_the_last_words_in_the_log_name_the_signal_and_the_place(tmp_path: Path) -> None:
    (tmp_path / "worker-ab-01-8384.err").write_text("Fatal Python error: Aborted\n")
    (tmp_path / "worker-ab-01-8383.err").write_bytes(
        b"x" * 100_000 + b"\xff\n*** SIGSEGV received\nFatal Python error: Segmentation fault\n\n"
        b'Stack (most recent call first):\n  File "/lib/ctypes/__init__.py", line 519 in string_at\n'
        b'  File "/home/me/method.py", line 12 in step\n  File "/x/trainer.py", line 1 in train_batch\n'
    )
    reason = death_of(died(HEAD + DEAD + VANISHED), tmp_path)
    assert reason.endswith(
        "End of file; Segmentation fault in string_at (__init__.py, line 519) in step (method.py, line 12)"
    )


def test_rays_own_line_in_the_middle_of_pythons_does_not_hide_the_signal(tmp_path: Path) -> None:
    (tmp_path / "worker-ab-01-8383.err").write_text(
        "*** SIGSEGV received\nFatal Python error: [2026-11-29 01:18:22,947 E 8383 8383] logging.cc:474:     @ 0x7f\n"
        'Segmentation fault\n\nStack (most recent call first):\n  File "/m.py", line 12 in step\n'
    )
    assert death_of(died(HEAD + DEAD + VANISHED), tmp_path).endswith("; Segmentation fault in step (m.py, line 12)")


def test_an_exception_in_the_start_of_the_actor_is_its_last_line() -> None:
    text = "The actor died because of an error raised in its creation task, ray::A()\n  File x\nImportError: no torch"
    assert death_of(died(text)).endswith(": ImportError: no torch")


@pytest.mark.parametrize("text", ["", "\ud800" * 10**6, "Worker exit detail: " + "x\n" * 10**6])
def test_any_text_becomes_one_bounded_line(text: str, tmp_path: Path) -> None:
    reason = death_of(RuntimeError(text), tmp_path)
    assert reason.startswith("RuntimeError") and len(reason) < 500
    pa.array([reason])
