"""Real loggers told of a real sweep: TensorBoard's event files, MLflow's folder, Weights & Biases offline."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import pytest
import yaml

from tests.integration.support import lnl_sweep_in, rows

pytestmark = pytest.mark.slow

TREE = {
    "name": "logged",
    "dataset": {"name": "brain_phantom", "bias": {"rho": [1]}, "patients": 30, "slices": 2},
    "network": {"name": "small_cnn", "width": 4},
    "methods": ["erm"],
    "search": {"trials": 1},
    "confirm": {"seeds": 1},
    "training": {"epochs": 2, "batch_size": 24},
}


def scalars(file: Path) -> dict[tuple[str, int], float]:
    """Tag and step of every scalar of a file of events: records of a length, a checksum, the event, a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, place, found = file.read_bytes(), 0, {}
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
        place += 16 + length
    return found


def test_all_three(short_tmp: Path) -> None:
    missing = [name for name in ("mlflow", "wandb") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)}, which the dev extra brings, not installed")
    out, runs = short_tmp / "logged", short_tmp / "mlruns"
    logging = {"tensorboard": True, "mlflow": {"tracking_uri": f"file:{runs}"}, "wandb": {"mode": "offline"}}
    file = short_tmp / "logged.yaml"
    file.write_text(yaml.safe_dump({**TREE, "logging": logging}))
    # Its maker wants a data base in place of a folder.
    code, text = lnl_sweep_in(
        {"OMP_NUM_THREADS": "1", "MLFLOW_ALLOW_FILE_STORE": "true"}, "run", file, "--out", out, cwd=short_tmp
    )
    assert code == 0 and "told no more" not in text, text
    trials = rows(out)
    assert len(trials) == 2
    for row in trials.values():
        trial = row["trial_id"]
        (events,) = (out / "tensorboard" / trial).glob("events*")
        logged = scalars(events)
        assert logged["ray/tune/val_counterfactual", 2] == pytest.approx(row["val_counterfactual"])
        tested = [tag for tag, _ in logged if tag.startswith("ray/tune/test_")]
        assert bool(tested) == (row["phase"] == "confirm")
        assert list((out / "wandb" / trial).rglob("*.wandb"))
    names = {path.read_text() for path in runs.rglob("trial_name")}
    assert names == {row["trial_id"] for row in trials.values()}
    # The sweep's own files know nothing of them.
    assert lnl_sweep_in({}, "verify", out)[0] == 0
