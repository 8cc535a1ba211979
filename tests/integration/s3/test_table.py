"""A table and its images in an object store, beside images on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from store.errors import InputError
from store.open import folder_at
from tests.integration.s3_server import BUCKET, moto
from tests.table_files import COLUMNS, options, write_pngs
from trainable.data.base import load_dataset
from trainable.data.table.rows import read_rows

N = 48


def test_a_table_in_a_bucket_is_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(tmp_path / "cache"))
    local = write_pngs(tmp_path / "set", N)
    with moto() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        bucket = folder_at(f"s3://{BUCKET}/set")
        for path in sorted((tmp_path / "set" / "images").iterdir()):
            bucket.child("images").write(path.name, path.read_bytes())
        text = local.read_text()
        bucket.write("labels.csv", text.encode())
        here = load_dataset("table", **options(local))
        there = load_dataset("table", **options(f"s3://{BUCKET}/set/labels.csv"))  # type: ignore[arg-type]
        assert there.checksum == here.checksum and there.image_keys() == here.image_keys()
        train = here.split(0).train
        images = [one.train_images({"rho": 1.0}, 0, train, "biased").pixels().numpy() for one in (here, there)]
        assert (images[0] == images[1]).all()

        # Some here, some there.
        mixed = text.replace("images/000", f"s3://{BUCKET}/set/images/000")
        (tmp_path / "set" / "mixed.csv").write_text(mixed)
        rows = read_rows(str(tmp_path / "set" / "mixed.csv"), COLUMNS)
        assert sum("://" in path for path in rows.paths) == 10
        assert load_dataset("table", **options(tmp_path / "set" / "mixed.csv")).image_keys() == here.image_keys()

        bucket.child("images").remove("0003.png")
        (tmp_path / "set" / "images" / "0020.png").unlink()
        with pytest.raises(
            InputError, match=r"2 of 48 are not there: s3://.*/set/images/0003\.png \(line 5\), .*0020\.png"
        ):
            read = read_rows(str(tmp_path / "set" / "mixed.csv"), COLUMNS)
            from trainable.data.table.decode import decoded
            from trainable.data.table.passes import Recipe

            decoded(read, np.arange(N), Recipe())
        with pytest.raises(InputError, match=r"there is no table s3://.*/other\.csv"):
            read_rows(f"s3://{BUCKET}/set/other.csv", COLUMNS)
