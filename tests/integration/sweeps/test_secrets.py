"""Traces that a local sweep leaves for others to read: no secret in any file, no port that other machines reach."""

from __future__ import annotations

import base64
import gzip
import io
import stat
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.planted import PLANTED, files, holding
from tests.integration.support import Witness

SECRET = PLANTED["AWS_SECRET_ACCESS_KEY"]


def packed(compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("name", f"it is {SECRET}")
    return file.getvalue()


def parquet(compression: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"error": ["none", f"it is {SECRET}"]}), file, compression=compression)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        f"it is {SECRET}!".encode(),
        SECRET.encode("utf-16-le"),
        SECRET.encode().hex().encode(),
        *(base64.b64encode(b"x" * before + SECRET.encode() + b"behind") for before in range(4)),
        gzip.compress(f"it is {SECRET}".encode()),
        zlib.compress(f"it is {SECRET}".encode()),
        packed(zipfile.ZIP_DEFLATED),
        parquet("zstd"),
    ],
    # Not the bytes themselves: those of an archive hold the time, and processes must agree on names.
    ids=["plain", "two-bytes", "hex", *(f"base64-{before}" for before in range(4)), "gzip", "zlib", "zip", "parquet"],
)
def test_a_planted_secret_is_found(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(content)
    (tmp_path / "other").write_bytes(b"AKIA and planted")
    assert holding([tmp_path], PLANTED.values()) == [tmp_path / "deep" / "file"]


@pytest.mark.slow
class TestLocalSweep:
    """The sweep that all tests compare theirs with; the secrets stood in its environment."""

    def test_no_file_holds_a_secret(self, witness: Witness) -> None:
        names = {path.name for path in files(witness.places)}
        # Those in which they would stand are among them.
        assert {"driver.log", "runtime_env_agent.log", "raylet.out", "tuner.pkl", "sweep.yaml", "report.html"} <= names
        logs = [path for path in files(witness.places) if path.name == "runtime_env_agent.log"]
        assert all("PL_DISABLE_FORK" in path.read_text() for path in logs)
        assert holding(witness.places, PLANTED.values()) == []
        assert not any(secret in witness.text for secret in PLANTED.values())

    def test_it_listens_on_the_loopback_alone(self, witness: Witness) -> None:
        programs = {name for name, _ in witness.listening}
        assert {"gcs_server", "raylet"} <= programs and any(name.startswith("ray::") for name in programs), programs
        # 127.0.0.1, by itself and as an address of IPv6, as the kernel writes them on a little-endian machine.
        loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
        assert {key: ports for key, ports in witness.listening.items() if key[1] not in loopback} == {}

    def test_others_can_neither_read_its_token_nor_enter_rays_folder(self, witness: Witness) -> None:
        token = witness.home / ".ray" / "auth_token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        (closed,) = witness.ray.iterdir()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert list(closed.glob("ray/session_2*/logs/raylet.out"))

    def test_it_leaves_no_temporary_folder(self, witness: Witness) -> None:
        assert list(witness.temporary.iterdir()) == []
