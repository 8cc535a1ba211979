"""Images of one's own: decoding once, the start and the memory of a trial, and a step against PyTorch's usual loop.

    python benchmarks/bench_table.py                # 20,000 images of 128 pixels
    python benchmarks/bench_table.py --images 2000  # a look

The images are PNG files that the benchmark writes. Each figure is of a process of its own, as a worker is one. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SIDE, BATCH, STEPS = 128, 64, 60
CLASSES, ATTRIBUTES = ("none", "pneumothorax"), ("no_drain", "drain")
ALIGNED = dict(zip(CLASSES, ATTRIBUTES, strict=True))
COLUMNS = {"path": "path", "label": "label", "attribute": "bias", "group": "patient"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](Path(options.file))))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = write_table(Path(folder), options.images)
        os.environ["LNL_SWEEP_CACHE"] = str(Path(folder, "cache"))
        print("\n".join(measure(file, options.images)))


def measure(file: Path, n: int) -> Iterator[str]:
    decoding, first = in_process("decode", file), in_process("trial", file)
    pairs = [(in_process("steps", file), in_process("peer", file)) for _ in range(3)]
    ours, peers = ([pair[i]["seconds"] for pair in pairs] for i in (0, 1))
    ratios = sorted(ours[i] / peers[i] for i in range(len(pairs)))
    yield f"{n:,} images of {SIDE} pixels, batches of {BATCH}, small_cnn, one thread a trial."
    yield ""
    yield "| measured | value | wanted |"
    yield "|---|---|---|"
    yield f"| decoding, once, s | {decoding['seconds']:.1f} | |"
    yield f"| from a process's start to a trial's first step, once decoded, s | {first['seconds']:.1f} | <= 10 |"
    added = first["memory"] - first["before"]
    yield f"| memory that this trial adds, mapped files left out, at its peak, MB | {added:.0f} | < 500 |"
    yield f"| memory of a process that has imported torch alone, MB | {first['before']:.0f} | |"
    yield f"| a step, ours, ms (median of 3 runs) | {sorted(ours)[1] * 1e3:.1f} | |"
    yield f"| a step of the usual loop, DataLoader with 2 workers, ms | {sorted(peers)[1] * 1e3:.1f} | |"
    yield f"| ours / the usual loop | {ratios[1]:.2f} | < 1 |"


def in_process(part: str, file: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--file", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_table(folder: Path, n: int) -> Path:
    """PNG files of noise with a disc of the class and a line of the attribute, and their table."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc, line = (rows - 40) ** 2 + (columns - 40) ** 2 < 400, np.abs(rows - columns - 20) < 2
    lines = ["path,label,bias,patient"]
    for number in range(n):
        label = number // 2 % 2
        attribute = label if rng.random() < 0.8 else 1 - label
        image = rng.integers(60, 140, (SIDE // 4, SIDE // 4), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        image[disc & bool(label)] -= 40
        image[line & bool(attribute)] = 250
        Image.fromarray(image).save(folder / "images" / f"{number:06}.png", compress_level=1)
        lines.append(f"images/{number:06}.png,{CLASSES[label]},{ATTRIBUTES[attribute]},P{number // 2}")
    file = folder / "labels.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def options_of(file: Path) -> dict[str, Any]:
    return {"file": str(file), "columns": COLUMNS, "aligned": ALIGNED, "image_size": SIDE, "span": [0.5, 0.9]}


def decode(file: Path) -> dict[str, float]:
    from trainable.data.base import load_dataset

    began = time.perf_counter()
    load_dataset("table", **options_of(file))
    return {"seconds": time.perf_counter() - began}


def trial(file: Path) -> dict[str, float]:
    from trainable.api import make_spec
    from trainable.trial.trainer import Trainer

    before = resident()
    peak = Peak()
    options = {"dataset_options": options_of(file), "network": "small_cnn", "batch_size": BATCH, "epochs": 2}
    trainer = Trainer(make_spec("table", **options, phase="search", rho=0.9), "cpu")
    trainer.train_batch(next(iter(trainer.feed.batches(0))), 0)
    seconds = time.time() - float(started())
    trainer.train_epoch()
    return {"seconds": seconds, "memory": peak.stop(), "before": before}


def steps(file: Path) -> dict[str, float]:
    from trainable.api import make_spec
    from trainable.trial.trainer import Trainer

    options = {"dataset_options": options_of(file), "network": "small_cnn", "batch_size": BATCH, "epochs": 2}
    trainer = Trainer(make_spec("table", **options, phase="search", rho=0.9), "cpu")
    # All steps within an epoch or two, whatever the number of images.
    batches = itertools.chain.from_iterable(trainer.feed.batches(epoch) for epoch in itertools.count())
    return {"seconds": timed(lambda step: trainer.train_batch(next(batches), step))}


def peer(file: Path) -> dict[str, float]:
    import csv

    import torch
    import torchvision
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from trainable.networks.base import DataShape, blueprint

    class Images(Dataset[Any]):
        def __init__(self) -> None:
            with file.open() as opened:
                self.rows = list(csv.DictReader(opened))
            self.transform = torchvision.transforms.ToTensor()

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, i: int) -> Any:
            row = self.rows[i]
            image = Image.open(file.parent / row["path"]).convert("RGB")
            return self.transform(image), CLASSES.index(row["label"])

    torch.set_num_threads(1)
    f, g = blueprint("small_cnn", {}, DataShape(3, SIDE, SIDE, CLASSES)).body()
    model = torch.nn.Sequential(f, g)
    optimiser = torch.optim.Adam(model.parameters())
    batches = iter(DataLoader(Images(), BATCH, shuffle=True, num_workers=2, drop_last=True))

    def step(_: int) -> None:
        x, y = next(batches)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return {"seconds": timed(step)}


def timed(step: Any) -> float:
    """Seconds a step, the first ones left out."""
    for i in range(5):
        step(i)
    began = time.perf_counter()
    for i in range(STEPS):
        step(5 + i)
    return (time.perf_counter() - began) / STEPS


def started() -> float:
    """Start of this process, seconds since 1970."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    booted = next(float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def resident() -> float:
    """Memory of this process that is no mapped file, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Peak:
    """Largest ``resident`` from now on, looked at every 5 ms."""

    def __init__(self) -> None:
        self._most, self._on = resident(), True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._on:
            self._most = max(self._most, resident())
            time.sleep(0.005)

    def stop(self) -> float:
        self._on = False
        self._thread.join()
        return self._most


PARTS = {"decode": decode, "trial": trial, "steps": steps, "peer": peer}

if __name__ == "__main__":
    main()
