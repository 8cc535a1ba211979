"""Trials that train nothing, for what is asked of Ray and of the driver alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def null_trainable(seconds: float = 0.0, late: float = 0.0, place: str = "", meet: int = 0) -> type:
    """A trainable whose value is a function of its trial's name.

    Args:
        seconds: How long an epoch takes.
        late: How long every worker but the first takes to start.
        place: A folder in which workers leave marks.
        meet: So many workers wait for one another before they take their first step.

    Returns:
        The class; it is made here, so that Ray sends it by value to workers that do not know this file.
    """
    import datetime
    import os
    import pathlib
    import time
    import zlib

    import ray

    from store.rules import RULES
    from trainable.spec import TrialSpec
    from trainable.tune_trainable import SweepTrainable

    class NullTrainable(SweepTrainable):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if late:
                try:
                    pathlib.Path(place, "first").touch(exist_ok=False)
                except FileExistsError:
                    time.sleep(late)
            super().__init__(*args, **kwargs)

        def setup(self, config: Any) -> None:
            self._spec, self._epoch = TrialSpec.from_json(config["spec"]), 0
            self._began = datetime.datetime.now(datetime.UTC)

        def reset_config(self, new_config: Any) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            from trainable.trial.outcome import spec_row

            if meet:
                pathlib.Path(place, str(os.getpid())).touch()
                end = time.monotonic() + 240
                while len(list(pathlib.Path(place).iterdir())) < meet and time.monotonic() < end:
                    time.sleep(0.05)
            time.sleep(seconds)
            self._epoch += 1
            done = self._epoch == self._spec.training.epochs
            values = dict.fromkeys(RULES, zlib.crc32(self._spec.trial_id.encode()) / 2**32)
            row = {**spec_row(self._spec, "completed" if done else "pruned", None), **values}
            row.update(
                started_at=self._began,
                finished_at=datetime.datetime.now(datetime.UTC),
                node=ray.get_runtime_context().get_node_id(),
                device_name=",".join(map(str, ray.get_gpu_ids())),
                test_accuracy=0.5 if self._spec.phase == "confirm" else None,
            )
            entry = {"epoch": self._epoch, **values, "train_loss": 0.1}
            return {"epoch": self._epoch, "value": values[RULES[0]], "history": [entry], "row": row, "done": done}

        def cleanup(self) -> None:
            pass

    return NullTrainable


def processors() -> Callable[[Mapping[str, Any]], Any]:
    """The function that tells Ray which processors a trial takes, and no card; it travels by value."""

    def places(config: Mapping[str, Any]) -> Any:
        from ray import tune

        return tune.PlacementGroupFactory([{"CPU": float(config["cpu"])}])

    return places


def resumable(seconds: float = 0.0, constants: Mapping[str, float] | None = None) -> type:
    """The trainable of a sweep whose trials train nothing, but keep checkpoints, predictions and models like all.

    Everything is that of ``SweepTrainable``, except that no trainer is built and torch is not imported. The value of an
    epoch is a function of the whole specification and of the epochs before it, which the checkpoint holds: a trial that
    goes on from a wrong place has other values.

    Args:
        seconds: How long an epoch takes.
        constants: Values of module constants in the workers, by ``module:NAME``.

    Returns:
        The class, which travels by value.
    """
    import datetime
    import importlib
    import json
    import time
    import types
    import zlib

    import ray
    import torch

    from store.rules import RULES
    from store.sealed import seal_tensors
    from trainable import NUMERICS, tune_trainable
    from trainable.spec import TrialSpec
    from trainable.trial import provenance
    from trainable.trial.outcome import SPEC_COLUMNS

    images = 12
    known = {
        "numerics": NUMERICS,
        "lnl_sweep_version": provenance.package_version(),
        "git_commit": provenance.git_commit(),
        # Its own type would bring torch with it.
        "torch_version": str(torch.__version__),
    }
    columns = tuple(SPEC_COLUMNS)

    def share(*parts: object) -> float:
        return zlib.crc32("/".join(map(str, parts)).encode()) % 1000 / 1000

    class NullTrainer:
        def __init__(self, spec: TrialSpec) -> None:
            self.spec, self.epoch, self.history = spec, 0, []  # type: ignore[var-annotated]
            self._chain = zlib.crc32(spec.to_json().encode())
            self.started_at = datetime.datetime.now(datetime.UTC)

        @property
        def finished(self) -> bool:
            return self.epoch >= self.spec.training.epochs

        @property
        def objective(self) -> float:
            return float(self.history[-1][self.spec.rule]) if self.history else float("nan")

        def train_epoch(self) -> None:
            time.sleep(seconds)
            self.epoch += 1
            self._chain = zlib.crc32(str(self.epoch).encode(), self._chain)
            values = {rule: share(self._chain, rule) for rule in RULES}
            loss = share(self._chain, "loss")
            entry = {"trial_id": self.spec.trial_id, "epoch": self.epoch, **values, "train_loss": loss}
            self.history.append({**entry, "seconds": seconds})

        def row(self, status: str = "pruned", error: str | None = None) -> dict[str, Any]:
            spec, hyper = self.spec, dict(self.spec.hyperparameters)
            named = {name: hyper.get(name) for name in ("lambda_", "mu", "lr", "lr_bias", "weight_decay")}
            row = {name: getattr(spec, name) for name in columns}
            row |= {"label": spec.label or spec.method, "hyperparameters": json.dumps(hyper, sort_keys=True), **named}
            row |= {"batch_size": spec.training.batch_size, "epochs": self.epoch, "status": status, "error": error}
            row |= {f"bias_{name}": value for name, value in spec.bias.items()}
            row |= {"bias_strength": share(*spec.bias.values()), **known}
            row |= {"node": ray.get_runtime_context().get_node_id(), "attempts": 1, "preemptions": 0}
            row |= {"started_at": self.started_at, "finished_at": datetime.datetime.now(datetime.UTC)}
            if self.history:
                row |= {rule: self.history[-1][rule] for rule in RULES}
            return row

        def finish(self) -> Any:
            row, spec = self.row("completed"), self.spec
            if spec.phase != "confirm":
                return types.SimpleNamespace(row=row, history=self.history, predictions=None, model=None)
            right = [share(self._chain, i) > 0.3 for i in range(images)]
            label = [i % 10 for i in range(images)]
            predictions = {
                "trial_id": [spec.trial_id] * images,
                "variant": ["unbiased"] * images,
                "image": [f"image{i:03d}" for i in range(images)],
                "label": label,
                "attribute": label,
                "predicted": [k if good else (k + 1) % 10 for k, good in zip(label, right, strict=True)],
                "p_0": [share(self._chain, "p", i) for i in range(images)],
            }
            row |= {"n_test": images, "test_accuracy": sum(right) / images}
            model = None
            if spec.keep_model:
                import numpy as np
                import safetensors.numpy

                value = np.full(50, share(self._chain, "model"), "float32")
                model = seal_tensors(bytes(safetensors.numpy.save({"f.w": value}, {"spec": spec.to_json()})))
            return types.SimpleNamespace(row=row, history=self.history, predictions=predictions, model=model)

        def state(self) -> bytes:
            kept = {"spec": self.spec.to_json(), "epoch": self.epoch, "history": self.history, "chain": self._chain}
            return json.dumps({**kept, "started_at": self.started_at.isoformat()}).encode()

        def load_state(self, data: bytes | memoryview) -> None:
            kept = json.loads(bytes(data))
            if kept["spec"] != self.spec.to_json():
                raise ValueError("the checkpoint belongs to another trial")
            self.epoch, self.history, self._chain = kept["epoch"], kept["history"], kept["chain"]
            self.started_at = datetime.datetime.fromisoformat(kept["started_at"])

    class ResumableNullTrainable(tune_trainable.SweepTrainable):
        def setup(self, config: Any) -> None:
            # In the worker, which runs nothing else.
            for name, value in (constants or {}).items():
                module, _, constant = name.partition(":")
                setattr(importlib.import_module(module), constant, value)
            tune_trainable._trainer = lambda spec, device: NullTrainer(spec)  # type: ignore[assignment, return-value]
            super().setup(config)

        def reset_config(self, new_config: Any) -> bool:
            self.config = new_config
            self.setup(new_config)
            return True

        def _start_clean(self) -> None:
            pass

    return ResumableNullTrainable
