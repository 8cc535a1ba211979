"""A store that is away is asked again; one that refuses is not; one that hangs is left alone."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store import object_store
from store.errors import InputError, Unreachable
from store.object_store import ObjectFolder, ObjectStore, hide_credentials, refuse_credentials
from store.open import Readable, _Opened, folder_at, open_folder

AWAY = OSError("When uploading object: AWS Error NETWORK_CONNECTION during PutObject: could not connect")
SLOW_DOWN = OSError("When uploading object: AWS Error SLOW_DOWN during PutObject: HTTP status 503")


class Fake:
    """As much of a file system as a store asks for; ``script`` says how each request ends."""

    def __init__(self, *script: Exception | Callable[[], None]) -> None:
        self.script = list(script)
        self.requests = 0
        self.files: dict[str, bytes] = {}

    def _next(self) -> None:
        self.requests += 1
        act = self.script.pop(0) if self.script else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            act()

    def open_output_stream(self, path: str) -> Any:
        fake = self

        class Stream(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    fake._next()
                    fake.files[path] = self.getvalue()
                super().close()

        return Stream()

    def open_input_stream(self, path: str) -> io.BytesIO:
        self._next()
        return io.BytesIO(self.files[path])

    def open_input_file(self, path: str) -> Any:
        self._next()
        content = self.files[path]

        class File(io.BytesIO):
            def size(self) -> int:
                return len(content)

        return File(content)

    def delete_file(self, path: str) -> None:
        self._next()
        del self.files[path]

    def delete_dir(self, path: str) -> None:
        self._next()
        self.files = {name: data for name, data in self.files.items() if not name.startswith(f"{path}/")}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(object_store, "LONGEST_PAUSE", 0.02)


@pytest.mark.parametrize("error", [AWAY, SLOW_DOWN, TimeoutError("x")], ids=["away", "throttled", "slow"])
def test_it_is_asked_again_while_it_is_away(error: OSError) -> None:
    fake = Fake(*[error] * 5)
    ObjectStore(fake).write("b/x", b"1")
    assert fake.requests == 6 and fake.files == {"b/x": b"1"}


def test_the_retry_budget_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(*[AWAY] * 1000)
    with pytest.raises(Unreachable, match=r"cannot write to b/x: .*NETWORK_CONNECTION"):
        ObjectStore(fake, budget=0.1).write("b/x", b"1")
    assert 2 <= fake.requests < 1000
    once = Fake(AWAY)
    with pytest.raises(Unreachable):
        ObjectStore(once).patiently(0.0).write("b/x", b"1")
    assert once.requests == 1


def test_an_outage_costs_a_piece_and_not_the_file() -> None:
    fake = Fake(lambda: None, AWAY, AWAY)
    fake.files["b/x"] = bytes(range(250))
    assert b"".join(ObjectStore(fake).pieces("b/x", 100)) == fake.files["b/x"]
    assert fake.requests == 3 + 2


@pytest.mark.parametrize("mark", ["ACCESS_DENIED", "NO_SUCH_BUCKET", "SIGNATURE_DOES_NOT_MATCH", "HTTP status 403"])
def test_a_refusal_is_told_at_once(mark: str) -> None:
    fake = Fake(OSError(f"AWS Error {mark} during PutObject"))
    with pytest.raises(InputError, match=f"{mark}.*check the credentials"):
        ObjectStore(fake).write("b/x", b"1")
    assert fake.requests == 1


@pytest.mark.parametrize("mark", ["ExpiredToken", "ACCESS_DENIED", "PermanentRedirect", "InvalidAccessKeyId"])
def test_what_is_final_for_a_driver_is_final_for_a_reader(mark: str) -> None:
    for reader in (Readable, _Opened):
        fake = Fake(*[OSError(f"AWS Error {mark} during GetObject")] * 3)
        files = reader(ObjectFolder(ObjectStore(fake), "s3", "b/sweep"), "s3://b/sweep")
        with pytest.raises(InputError, match=f"{mark}.*check the .*credentials"):
            files.read("sweep.yaml")
        assert fake.requests == 1


def test_an_expired_token_is_told_at_once_where_the_answer_has_no_body() -> None:
    text = "When reading information for key 'x' in bucket 'b': AWS Error UNKNOWN (HTTP status 400) during HeadObject"
    fake = Fake(OSError(f"{text} operation: No response body."))
    with pytest.raises(InputError, match=r"cannot read b/x: .*check the credentials"):
        ObjectStore(fake).read("b/x")
    assert fake.requests == 1


def test_what_passes_for_a_driver_passes_for_a_reader() -> None:
    for reader in (Readable, _Opened):
        fake = Fake(AWAY, SLOW_DOWN)
        fake.files["b/sweep/trials/x.parquet"] = b"1"
        folder = ObjectFolder(ObjectStore(fake), "s3", "b/sweep")
        assert reader(folder).read("trials/x.parquet") == b"1" and fake.requests == 3
        fake.script = [AWAY] * 1000
        with pytest.raises(InputError, match=r"s3://b/sweep/trials/x|cannot read b/sweep/trials/x"):
            reader(folder.patiently(0.1)).read("trials/x.parquet")
        assert 5 <= fake.requests < 1000


def test_a_file_that_goes_between_two_requests_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        ObjectStore(Fake(OSError("AWS Error NO_SUCH_KEY during GetObject"))).read("b/x")


def test_a_request_that_hangs_is_left_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 0.1)
    gate = threading.Event()
    fake = Fake(lambda: gate.wait(20) and None)
    begin = time.monotonic()
    ObjectStore(fake).write("b/x", b"1")
    assert fake.requests == 2 and time.monotonic() - begin < 5
    gate.set()


def test_an_address_is_opened_again_while_a_request_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "ofthetests")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(object_store, "READ_SECONDS", 0.2)
    # The kernel accepts connections, and nothing answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"s3://b/x?endpoint_override=http://127.0.0.1:{server.getsockname()[1]}&region=us-east-1"
        with pytest.raises(Unreachable, match=r"cannot read b/x/a: no answer in 0 s"):
            folder_at(address).patiently(0.0).read("a")
        monkeypatch.setattr(object_store, "REQUEST_SECONDS", 5.0)
        assert folder_at(address).uri == address


def test_other_credentials_open_an_address_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address, file = "s3://b/x?endpoint_override=http://127.0.0.1:1&region=us-east-1", tmp_path / "credentials"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    opened = []
    for key in ("one", "two"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        opened += [ObjectStore.open(address)[0].filesystem for _ in range(2)]
    file.write_text("[default]\n")
    opened.append(ObjectStore.open(address)[0].filesystem)
    assert opened[0] is opened[1] and opened[2] is opened[3]
    assert len({id(filesystem) for filesystem in opened}) == 3


@pytest.mark.parametrize("tree", [False, True], ids=["file", "tree"])
def test_what_is_deleted_does_not_come_back_by_a_write_that_was_given_up(
    tree: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 0.1)
    gate = threading.Event()
    fake = Fake(lambda: gate.wait(20) and None)
    store = ObjectStore(fake)
    store.write("b/trial/spec.json", b"1")
    assert fake.files == {"b/trial/spec.json": b"1"}
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 30.0)
    threading.Timer(0.5, gate.set).start()
    store.delete_tree("b/trial") if tree else store.delete("b/trial/spec.json")
    assert gate.is_set() and fake.files == {}


def test_a_write_that_hangs_for_good_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(object_store, "LATE_SECONDS", 0.1)
    gate = threading.Event()
    fake = Fake(lambda: gate.wait(20) and None)
    store = ObjectStore(fake)
    store.write("b/x", b"1")
    store.delete("b/x")
    assert fake.files == {} and not gate.is_set()
    gate.set()


def test_a_write_to_nowhere_is_bad_input() -> None:
    folder = ObjectFolder(ObjectStore(Fake(FileNotFoundError("no such directory"))), "mock", "sweep")
    with pytest.raises(InputError, match="cannot write to"):
        folder.write("x", b"")


def test_a_probe_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ObjectFolder.at("mock:///sweep")
    folder.store.filesystem.create_dir("sweep")
    folder.check_usable()
    assert folder.store.entries("sweep") == []


def test_a_store_that_may_not_delete_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ObjectFolder.at("mock:///sweep")
    folder.store.filesystem.create_dir("sweep")

    def denied(self: ObjectStore, path: str) -> None:
        self._repeat(f"delete {path}", 1.0, lambda: (_ for _ in ()).throw(OSError("AWS Error ACCESS_DENIED")))

    monkeypatch.setattr(ObjectStore, "delete", denied)
    with pytest.raises(InputError, match=r"cannot delete .*ACCESS_DENIED"):
        folder.check_usable()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://AKID:plain@bucket/sweep?region=eu", "s3://...@bucket/sweep?region=eu"),
        ("s3://AKID:with/slash@bucket/me@home", "s3://...@home"),
        ("s3://AKID@bucket", "s3://...@bucket"),
        ("s3://bucket/me@home", None),
        ("/disk/me@home", None),
        ("s3://bucket/x?endpoint_override=http://host:1&region=us-east-1", None),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str, shown: str | None) -> None:
    assert hide_credentials(address) == (shown or address)
    if shown is None:
        refuse_credentials(address)
        return
    with pytest.raises(InputError, match="must not hold credentials") as ours:
        folder_at(address)
    with pytest.raises(InputError, match="must not hold credentials") as theirs:
        open_folder(address)
    for error in (ours, theirs):
        assert not any(part in str(error.value) for part in ("AKID", "plain", "slash"))


def test_an_address_without_a_bucket_is_refused() -> None:
    with pytest.raises(InputError, match="it names no bucket"):
        ObjectFolder.at("s3://")
