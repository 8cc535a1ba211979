"""Training without Ray, and models read back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

import trainable
from store.errors import InputError
from store.sealed import seal_tensors
from trainable.spec import Training, TrialSpec
from trainable.trial.trainer import Trainer


def test_importing_is_light() -> None:
    code = """
import sys, trainable, trainable.spec, store.open
print([name for name in ("torch", "ray", "pyarrow", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_side_does_not_load_ray() -> None:
    code = "import sys, trainable.api; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_exists() -> None:
    assert all(getattr(trainable, name) is not None for name in trainable.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        trainable.trian  # noqa: B018


def test_train_on_the_digits() -> None:
    run = trainable.train(
        "coloured_digits",
        method="lnl",
        color_variance=0.02,
        epochs=1,
        batch_size=64,
        seed=3,
        hyperparameters={"lr": 1e-2},
        dataset_options={"subset": "development"},
    )
    assert (
        run.row["status"] == "completed"
        and run.row["bias_color_variance"] == 0.02
        and run.row["network"] == "pixel_front"
    )
    assert len(run.history) == 1 and run.predictions is not None
    images = torch.randint(0, 256, (7, 3, 14, 14), dtype=torch.uint8)
    p = run.predict(images, batch_size=3)
    assert p.shape == (7, 10) and torch.allclose(p.sum(1), torch.ones(7), atol=1e-5)
    assert torch.allclose(p, run.predict(images.float() / 255), atol=1e-6)
    assert run.model(images).shape == (7, 10)


def test_search_phase_sees_no_test_images(tiny: Callable[..., TrialSpec]) -> None:
    tiny()
    run = trainable.train(
        "tiny", network="tiny_net", rho=0.5, training=Training(epochs=1, batch_size=22), phase="search"
    )
    assert run.predictions is None and run.row.get("test_accuracy") is None


def test_predictions_of_the_report_are_those_of_the_model(tiny: Callable[..., TrialSpec]) -> None:
    spec = tiny("grayscale", epochs=3, epoch="best", phase="confirm", keep_model=True)
    trainer = Trainer(spec, "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    outcome = trainer.finish()
    assert outcome.model is not None and outcome.predictions is not None
    test = trainer.view.test("unbiased")
    rows = [i for i, v in enumerate(outcome.predictions["variant"]) if v == "unbiased"]
    predicted = torch.as_tensor(outcome.predictions["predicted"])[rows]
    nets = trainer.reported_nets()
    model = trainable.Classifier(nets.f, nets.g, trainer.method, trainer.dataset.classes)
    assert torch.equal(model(test.images).argmax(1), predicted)


@pytest.mark.parametrize("method", ["lnl", "grayscale"])
def test_model_file_round_trip(method: str, tiny: Callable[..., TrialSpec], tmp_path: Path) -> None:
    trainer = Trainer(tiny(method, epochs=2, phase="confirm", keep_model=True), "cpu")
    while not trainer.finished:
        trainer.train_epoch()
    outcome = trainer.finish()
    assert outcome.model is not None
    file = tmp_path / "m.safetensors"
    file.write_bytes(outcome.model)
    model = trainable.load_model(file)
    nets = trainer.reported_nets()
    images = trainer.view.test("unbiased").images
    wanted = trainable.Classifier(nets.f, nets.g, trainer.method, trainer.dataset.classes)(images)
    assert torch.equal(model(images), wanted) and not model.training
    assert model.classes == ("a", "b", "c", "d")
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(InputError, match="is damaged"):
        trainable.load_model(file)


def test_bad_model_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model file"):
        trainable.load_model(tmp_path / "none.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        trainable.load_model(torn)
    from safetensors.torch import save

    torn.write_bytes(save({"a": torch.zeros(1)}))
    with pytest.raises(InputError, match="was not written by lnl-sweep"):
        trainable.load_model(torn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color_variance": -1.0}, "color_variance must lie in"),
        ({"rho": 1.0}, "unknown bias parameter"),
        ({}, "needs a value of color_variance"),
        ({"color_variance": 0.02, "epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"color_variance": 0.02, "batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"color_variance": 0.02, "method": "erm2"}, "did you mean 'erm'"),
        (
            {"color_variance": 0.02, "network": "small_cnn"},
            "small_cnn cannot take images of 14 pixels, as those of coloured_digits are, but takes 16: choose another",
        ),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainable.train("coloured_digits", **options)  # type: ignore[arg-type]


def test_unknown_shapes_are_refused(tiny: Callable[..., TrialSpec]) -> None:
    tiny()
    run = trainable.train("tiny", network="tiny_net", rho=0.5, epochs=1, batch_size=22, phase="search")
    with pytest.raises(InputError, match=r"shape \[N, 3, H, W\], but got \[3, 8, 8\]"):
        run.predict(torch.zeros(3, 8, 8))


def test_a_model_runs_no_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    options = json.dumps({"make": "planted:Net", "split_at": "a"})
    meta = {"spec": "{}", "network": "module", "network_options": options, "classes": '["a", "b"]', "image_size": "8"}
    heads = '{"names": [], "n_values": 0, "spatial": false}'
    content = safetensors.torch.save({"f.a": torch.zeros(2)}, {**meta, "method": "erm", "bias_heads": heads})
    (tmp_path / "model.safetensors").write_bytes(seal_tensors(content))
    with pytest.raises(InputError, match=r"planted is .*planted\.py in the current folder: look at what it does"):
        trainable.load_model(tmp_path / "model.safetensors")
    assert not (tmp_path / "ran").exists()
