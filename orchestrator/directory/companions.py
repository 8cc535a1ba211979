"""Files beside the rows: the splits of every seed, and sample images at every bias strength."""

from __future__ import annotations

import io

import pyarrow as pa

from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.writer import Writer, typed
from orchestrator.plan.identity import seeds_of
from orchestrator.plan.plan import Plan
from store.names import short
from store.sealed import digest, seal_json


def write_splits(plan: Plan, directory: SweepDirectory, writer: Writer) -> None:
    """Write ``splits/`` for every seed of the sweep that is not there yet."""
    seeds = seeds_of(plan.config, max(cell.search_seeds for cell in plan.cells))
    known = directory.split_seeds()
    folds = list(dict.fromkeys(cell.fold for cell in plan.cells))
    images, patients, labels = plan.dataset.image_keys(), plan.dataset.patient_keys(), plan.dataset.labels()
    tables = []
    missing = ((pair, fold) for pair in seeds for fold in folds if (pair[0], fold) not in known)
    for (seed, of_split), fold in missing:
        split, draws = plan.dataset.split(of_split, fold), plan.dataset.annotation_draws(seed)
        for part in ("train", "val", "test"):
            index = split.part(part)
            columns = {
                "seed": [seed] * len(index),
                "fold": pa.array([fold] * len(index), pa.int64()),
                "image": [images[i] for i in index],
                "patient": [patients[i] if patients else None for i in index],
                "label": labels[index],
                "split": [part] * len(index),
                "u": draws[index],
            }
            tables.append(typed("splits", pa.table(columns)))
    if tables:
        writer.append("splits", plan.config.dataset.name, pa.concat_tables(tables))


def write_samples(plan: Plan, directory: SweepDirectory) -> None:
    """Write ``samples/``, with one strip of images for each bias value, and their index.

    Where the data set does not allow its images to be shown none are written, and those that an earlier run was allowed
    to write are removed.
    """
    if not plan.dataset.share_images:
        shown = directory.folder.child("samples")
        for name in shown.names():
            shown.remove(name)
        return
    from trainable.data.samples import strips

    values = [dict(cell.bias) for cell in plan.applicable]
    points = list({tuple(sorted(value.items())): value for value in values}.values())
    axis = plan.cells[0].bias_axis
    varying = [name for name in points[0] if len({point[name] for point in points}) > 1] or [axis]
    folder = directory.folder.child("samples")
    there = set(folder.names())
    entries = []
    for point, image in strips(plan.dataset, points):
        name = "_".join(f"{key}_{short(value)}" for key, value in point.items()) + ".png"
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        # An equal file stays: in an object store one that is overwritten while it is read is torn.
        if name not in there or folder.read(name) != buffer.getvalue():
            folder.write(name, buffer.getvalue())
        caption = ", ".join(f"{k} = {point[k]:g}" for k in varying)
        entries.append({"value": point[axis], "file": name, "caption": caption, "digest": digest(buffer.getvalue())})
    index = {
        "axis": axis,
        "strips": entries,
        "alt": f"The same training images of {plan.dataset.long_name} at each bias value",
    }
    folder.write("index.json", seal_json(index))
