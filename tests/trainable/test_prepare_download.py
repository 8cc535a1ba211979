from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainable.data.prepare_download import download
from trainable.errors import InputError


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
