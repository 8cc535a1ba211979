"""Trials that train nothing, for what is asked of Ray and of the driver alone."""

from __future__ import annotations

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
