"""Makes an example of the package from a finished sweep.

    python tools/keep_example.py DIR                         # that of analysis.example()
    python tools/keep_example.py DIR --name atlas_digits     # analysis.example("atlas_digits"), without probabilities

What is kept is real and whole, except:

- of a sweep with a name ``predictions/`` has the headline's variant alone, without probabilities: accuracies and their
  bands are as they were, other figures of predictions are only those in ``trials/``;
- probabilities in ``predictions/`` are rounded to 1/1000 (1/200 where the example would be over 1 MB otherwise);
  predicted classes, and with them every accuracy, are as they were;
- losses and seconds in ``history/`` are rounded to 4 significant digits;
- the draws ``u`` in ``splits/`` are rounded down to 3 decimals, which leaves u < rho as it was for any rho of at most
  3 decimals;
- of the sample pictures up to three are kept, with 48 colours;
- models, checkpoints, logs, status and the Optuna journal are left out (the studies can be built again from the search
  rows); host names are replaced.

One part file per table, zstd level 19: a hundred parts of a few rows would be mostly Parquet footers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from PIL import Image

from store.errors import InputError
from store.open import open_folder
from store.parts import part_name, read_parts
from store.sealed import digest, seal_json

MOST_BYTES = 1_000_000
MOST_BYTES_NAMED = 1_500_000
STEPS = (1000, 200)  # 201 values take a whole byte each: a quarter smaller, compressed, than the 101 of two decimals
EXAMPLE = Path(__file__).parents[1] / "analysis" / "example"
_ORDER = {
    "trials": ("cell", "phase", "trial_id"),
    "history": ("trial_id", "epoch"),
    "predictions": ("image", "variant", "trial_id"),  # of the orders tried the one that compresses best
    "splits": ("image", "seed"),
}
_KEPT = """class probabilities are rounded to 1/{steps} (predicted
classes and accuracies are unchanged; AUROC and calibration error computed from the rounded probabilities are
approximate, the columns in trials/ are exact)"""
_NONE_KEPT = """predictions/ has the variant unbiased alone,
without probabilities (accuracies and their bands are unchanged; the other figures are the columns in trials/)"""
_README = """A real sweep. analysis.example({call}) loads its trials, analysis.example_folder({call}) is this folder.

Sweep {name}, data set {dataset} ({note}), network {network};
{trials} trials, run from {first} to {last} (UTC) by lnl-sweep {version}.
The sweep file as it was resolved, with versions and checksums, is sweep.yaml.

{kept}
"""
_HOW = """Kept by tools/keep_example.py. As it was run, except: {predictions}, losses and seconds of an epoch to 4
significant digits, the draws u in splits/ down to 3 decimals; {n_samples} of the sample pictures, with fewer colours;
the host's name is left out. Models, logs and the Optuna journal are not here."""


def keep(source: Path, target: Path, steps: int | None = STEPS[0], call: str = "") -> int:
    """Write the example.

    Args:
        source: A finished sweep's folder.
        target: The folder to write. Its present content is replaced.
        steps: Probabilities are rounded to multiples of 1/steps; None = none are kept, nor variants but ``unbiased``.
        call: Argument of ``analysis.example``, as it is written.

    Returns:
        Its size in bytes.

    Raises:
        InputError: Trials are missing.
    """
    folder = open_folder(source)
    tables = {name: read_parts(folder, name) for name in _ORDER}
    if not len(tables["trials"]):
        raise InputError(f"no trial of {source} has finished: keep a finished sweep")
    config = yaml.safe_load(folder.read("sweep.yaml"))
    if target.exists():
        shutil.rmtree(target)
    for name, table in tables.items():
        if len(table):
            _write(target, name, _rounded(name, table, steps))
    (target / "sweep.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    n_samples = _samples(source / "samples", target / "samples")
    (target / "README.txt").write_text(_readme(config, tables["trials"], steps, n_samples, call), encoding="utf-8")
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def _write(target: Path, name: str, table: pa.Table) -> None:
    (target / name).mkdir(parents=True, exist_ok=True)
    ordered = table.sort_by([(column, "ascending") for column in _ORDER[name]])
    file = target / name / part_name("example", 1, "kept", 1)
    pq.write_table(ordered, file, compression="zstd", compression_level=19, use_dictionary=True)


def _rounded(name: str, table: pa.Table, steps: int | None) -> pa.Table:
    if name == "predictions" and steps is None:
        table = table.filter(pc.equal(table["variant"], "unbiased"))
    for column in table.column_names:
        values = table[column]
        if name == "predictions" and column.startswith("p_"):
            rounded = None if steps is None else np.round(values.to_numpy() * steps) / steps
            new = pa.nulls(len(table), values.type) if rounded is None else pa.array(rounded, values.type)
        elif name == "splits" and column == "u":
            new = pc.divide(pc.floor(pc.multiply(values, 1000.0)), 1000.0)
        elif name == "history" and (column.endswith("_loss") or column == "seconds"):
            new = _significant(values)
        elif name == "trials" and column == "node":
            new = pa.array([None if node is None else "host" for node in values.to_pylist()], values.type)
        else:
            continue
        table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), new)
    return table


def _significant(values: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if v is None else float(f"{v:.4g}") for v in values.to_pylist()], values.type)


def _samples(source: Path, target: Path) -> int:
    """Keep the strips of the weakest, the middle and the last place on the axis."""
    if not (source / "index.json").is_file():
        return 0
    index = json.loads((source / "index.json").read_text(encoding="utf-8"))
    strips = index["strips"]
    places = sorted({0, len(strips) // 2, len(strips) - 1})
    target.mkdir(parents=True)
    for place in places:
        picture = Image.open(source / strips[place]["file"]).convert("RGB")
        file = target / strips[place]["file"]
        picture.quantize(48, dither=Image.Dither.NONE).save(file, optimize=True)
        strips[place]["digest"] = digest(file.read_bytes())
    index["strips"] = [strips[place] for place in places]
    (target / "index.json").write_bytes(seal_json(index))
    return len(places)


def _readme(config: dict[str, object], trials: pa.Table, steps: int | None, n_samples: int, call: str) -> str:
    def of(section: str, name: str) -> object:
        found = config.get(section)
        return found.get(name) if isinstance(found, dict) else None

    predictions = _NONE_KEPT if steps is None else _KEPT.format(steps=steps)
    return _README.format(
        name=config.get("name"),
        dataset=of("dataset", "name"),
        note=of("dataset_info", "note") or "real images",
        network=of("network", "name"),
        trials=len(trials),
        first=pc.min(trials["started_at"]).as_py().strftime("%Y-%m-%d %H:%M"),
        last=pc.max(trials["finished_at"]).as_py().strftime("%Y-%m-%d %H:%M"),
        version=of("provenance", "lnl_sweep_version"),
        kept=textwrap.fill(" ".join(_HOW.format(predictions=predictions, n_samples=n_samples).split()), 115),
        call=call,
    )


def main() -> int:
    """Write the example from the sweep named on the command line."""
    parser = argparse.ArgumentParser(description="Make the example of analysis.example() from a finished sweep.")
    parser.add_argument("directory", type=Path, help="the finished sweep's folder")
    parser.add_argument("--name", default="", help="name of the example (default: the one without a name)")
    parser.add_argument("--out", type=Path, help="folder to write (default: that of the name in analysis/)")
    options = parser.parse_args()
    out = options.out or (EXAMPLE.with_name(f"{EXAMPLE.name}_{options.name}") if options.name else EXAMPLE)
    call, most = (f'"{options.name}"', MOST_BYTES_NAMED) if options.name else ("", MOST_BYTES)
    try:
        for steps in (None,) if options.name else STEPS:
            size = keep(options.directory, out, steps, call)
            if size <= most:
                print(f"{out}: {size / 1e3:.0f} kB, probabilities {'left out' if steps is None else f'to 1/{steps}'}")
                return 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"error: an example has at most {most} bytes, but this has {size}: keep fewer trials", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
