from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import cli
from store.errors import InputError
from tests.trainable.figshare_files import all_files, folds_file, write_zips
from trainable.data.arrays.folder import load_arrays
from trainable.data.brain.figshare import download as prepare_download
from trainable.data.brain.figshare.download import download


@contextlib.contextmanager
def figshare(
    contents: dict[str, bytes], ranges: bool = True, cut: int | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A server with an article's metadata and files; yields its address and the ranges asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            if name == "article":
                files = [
                    {
                        "name": title,
                        "size": len(data),
                        "computed_md5": hashlib.md5(data).hexdigest(),
                        "download_url": f"{base}/{title}",
                    }
                    for title, data in contents.items()
                ]
                body, status = json.dumps({"files": files}).encode(), 200
            else:
                body, status = contents[name], 200
                wanted = self.headers.get("Range", "")
                asked.append(wanted)
                if wanted and ranges:
                    body, status = body[int(wanted.removeprefix("bytes=").rstrip("-")) :], 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if cut is None or name == "article" else body[:cut])

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{base}/article", asked
    finally:
        server.shutdown()
        server.server_close()


CONTENTS = {"a.zip": bytes(range(256)) * 40, "cvind.mat": b"folds"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(ranges: bool, tmp_path: Path) -> None:
    with figshare(CONTENTS, cut=1000) as (api, _), pytest.raises(InputError, match=r"cannot be reached.*start again"):
        download(tmp_path, api=api)
    assert (tmp_path / "a.zip.part").stat().st_size == 1000
    assert not (tmp_path / "a.zip").exists()
    seen: list[tuple[int, int]] = []
    with figshare(CONTENTS, ranges) as (api, asked):
        download(tmp_path, lambda done, total: seen.append((done, total)), api)
        assert asked == ["bytes=1000-", ""]
        assert seen[-1] == (len(CONTENTS["a.zip"]) + 5,) * 2
        download(tmp_path, api=api)
        assert len(asked) == 2, "what is there and right is not fetched again"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENTS


def test_a_download_that_differs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(bytes(1000))
    with figshare(CONTENTS) as (api, _), pytest.raises(InputError, match=r"a.zip must have 10240 bytes and MD5"):
        download(tmp_path, api=api)
    assert not list(tmp_path.iterdir())


def test_no_network_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"download the archive from https://figshare.com.* --from 1512427.zip"
    ) as caught:
        download(tmp_path, api="http://127.0.0.1:9/article")
    assert "\n" not in str(caught.value)


def test_a_connection_that_breaks_while_it_is_read_is_no_fault_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: http.client.HTTPResponse, *size: int) -> bytes:
        raise ssl.SSLError(1, "[SSL] record layer failure")

    with figshare(CONTENTS) as (api, _):
        monkeypatch.setattr(http.client.HTTPResponse, "read", broken)
        with pytest.raises(InputError, match=r"figshare cannot be reached .*record layer failure"):
            download(tmp_path, api=api)


def test_the_command_fetches_and_prepares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    n = 12
    write_zips(tmp_path / "made", all_files(n, small=tuple(range(1, n + 1))), folds_file(n))
    contents = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    command = ["data", "prepare", "brain_mri", "--download", str(tmp_path / "fetched")]
    with figshare(contents) as (api, _):
        monkeypatch.setattr(prepare_download, "API", api)
        assert cli.main(command) == 0
    assert "prepared 12 slices of 3 patients" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "fetched").iterdir()} == contents
    assert load_arrays(tmp_path / "cache" / "brain_mri") is not None


def test_the_command_without_a_network_says_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    with socket.socket() as closed:
        # Bound and not listening: no other process can take the port meanwhile.
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(prepare_download, "API", f"http://127.0.0.1:{closed.getsockname()[1]}/article")
        assert cli.main(["data", "prepare", "brain_mri", "--download", str(tmp_path / "fetched")]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "figshare cannot be reached from here" in said
    assert "download the archive from https://figshare.com" in said and "--from 1512427.zip" in said
    assert not (tmp_path / "cache").exists()
