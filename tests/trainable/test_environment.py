"""A worker reaches the driver's store and data; who we are there is never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import InputError
from trainable import environment
from trainable.data.arrays.shared import prepared_arrays
from trainable.environment import store_environment, use_environment


def test_a_worker_is_told_where_the_store_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://driver:1")
    monkeypatch.setenv("HOME", "/nowhere")
    told = store_environment()
    assert told == {"AWS_ENDPOINT_URL": "http://driver:1"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://worker:2")
    use_environment(told)
    assert store_environment() == told
    # A relative folder is the driver's: a worker has another working directory.
    monkeypatch.chdir("/usr")
    monkeypatch.setenv("LNL_SWEEP_DATA", "share")
    assert store_environment()["LNL_SWEEP_DATA"] == "/usr/share"
    for place in ("s3://bucket/data", ""):
        monkeypatch.setenv("LNL_SWEEP_DATA", place)
        assert store_environment()["LNL_SWEEP_DATA"] == place


def test_credentials_in_the_address_of_the_data_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("LNL_SWEEP_DATA", "s3://AKID:plain@bucket/data")
    with pytest.raises(InputError, match="must not hold credentials") as caught:
        prepared_arrays("brain_mri")
    assert "AKID" not in str(caught.value) and "plain" not in str(caught.value)
