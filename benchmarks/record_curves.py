"""Records real learning curves for benchmarks/bench_search.py: LNL on the coloured digits, one thread a trial.

    python benchmarks/record_curves.py     # about 20 minutes of one processor; goes on where it stopped

Writes benchmarks/data/lnl_coloured_digits.csv: a line for each cell and configuration, with the counterfactual
validation accuracy after each epoch. A curve that ends early is that of a trial that diverged.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from orchestrator.search.study import from_unit, sobol_point
from trainable.methods.base import get_method
from trainable.spec import Training, TrialSpec
from trainable.trial.trainer import Trainer, TrialFailed

FILE = ROOT / "benchmarks" / "data" / "lnl_coloured_digits.csv"
VALUES = (0.02, 0.03, 0.05, 0.1)
SEARCHED = ("lambda_", "mu", "lr")
CONFIGURATIONS, EPOCHS = 48, 9


def main() -> None:
    done = set()
    if FILE.exists():
        with FILE.open() as file:
            done = {(row["color_variance"], row["number"]) for row in csv.DictReader(file)}
    with FILE.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(["color_variance", "number", *SEARCHED, *(f"epoch_{i + 1}" for i in range(EPOCHS))])
        for number in range(CONFIGURATIONS):
            for value in VALUES:
                if (str(value), str(number)) not in done:
                    chosen = configuration(number)
                    curve = train(value, chosen)
                    writer.writerow([value, number, *(f"{chosen[n]:.6g}" for n in SEARCHED), *curve])
                    file.flush()


def configuration(number: int) -> dict[str, float]:
    """Quasi-random point of the method's own ranges, the same in every cell."""
    space = get_method("lnl").space
    unit = sobol_point(0, len(SEARCHED), number)
    return {name: float(f"{from_unit(space[name], u):.6g}") for name, u in zip(SEARCHED, unit, strict=True)}


def train(value: float, chosen: dict[str, float]) -> list[str]:
    spec = TrialSpec(
        dataset="coloured_digits",
        bias={"color_variance": value},
        method="lnl",
        hyperparameters={**chosen, "lr_bias": 2e-2, "weight_decay": 5e-4},
        network="pixel_front",
        seed=0,
        phase="search",
        trial_id="recorded",
        training=Training(epochs=EPOCHS, batch_size=128),
    )
    trainer = Trainer(spec)
    try:
        while not trainer.finished:
            trainer.train_epoch()
    except TrialFailed:
        pass
    return [f"{row['val_counterfactual']:.4f}" for row in trainer.history]


if __name__ == "__main__":
    main()
