"""An external test set through every kept model of a sweep, into ``predictions/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.config.name_rule import NAME_RULE, is_name
from orchestrator.directory.fitted_rows import check_predictions
from orchestrator.directory.lease import acquire
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.sheet import read_sheet
from orchestrator.directory.writer import Writer, typed
from orchestrator.external.images import ExternalImages, SweepImages, read_external
from orchestrator.external.models import model_file, wanted_models
from store.errors import InputError
from store.folder import Folder
from store.open import Readable, read_small
from store.parts import read_parts
from store.sealed import check_tensors
from store.sheet.external import FOLDER, ExternalSet, external_of

if TYPE_CHECKING:
    from trainable.api import Classifier

_BATCH = 256
_TRAINED_ON = ("train", "val")


@dataclass(frozen=True)
class Request:
    """External test set to predict.

    Attributes:
        file: Its table.
        name: Its name in the sweep; "" = that of the file.
        columns: Columns by role, in place of those of the sweep's table.
        rule: Only models that this selection rule chose; None = all that count.
        window: What becomes black and white, in place of the sweep's window.
        trust_plugins: Run plug-ins of a directory that is somebody else's.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    file: str
    name: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    rule: str | None = None
    window: tuple[float, float] | None = None
    trust_plugins: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Predicted:
    """Result of the prediction of an external test set.

    Attributes:
        external: The test set.
        new: Number of models that have predicted it now.
        before: Number of models that had predicted it already.
        gone: Number of confirm trials without a model.
    """

    external: ExternalSet
    new: int
    before: int
    gone: int


def predict(address: str, request: Request, report: Callable[[str], None] | None = None) -> Predicted:
    """Predict an external test set with every kept model of a sweep that has not predicted it yet.

    Args:
        address: The sweep's directory, local or ``s3://``.
        request: The test set.
        report: Receives sentences on the progress.

    Returns:
        What was done.

    Raises:
        InputError: There is no such sweep or no model, another driver is at work there, the table or its images cannot
            be used, other data of the same name were predicted before, or images that the sweep was trained on.
    """
    directory = SweepDirectory(address)
    if not directory.exists():
        raise InputError(f"there is no sweep in {directory.uri}: give the directory of a sweep that has run")
    directory.check_readable()
    name = request.name or PurePath(request.file.partition("?")[0]).name.partition(".")[0]
    if not is_name(name) or not name:
        raise InputError(f"an external test set needs a name, and {NAME_RULE}: give --name, since '{name}' is none")
    wanted = wanted_models(address, directory.folder, request.rule)
    images = read_external(name, request.file, _images_of(directory, wanted.there[0]), request.columns, request.window)
    _check_untrained(directory, images)
    lease = acquire(directory.folder, report)
    writer = Writer(directory, lease, sweep=directory.identity())
    try:
        _note(directory.folder, images.sheet)
        before = _predicted(directory.folder, images.sheet.variant)
        missing = [trial for trial in wanted.there if trial not in before]
        for number, trial in enumerate(missing, start=1):
            if report is not None:
                report(f"{number} of {len(missing)}: {trial}")
            with model_file(directory.folder, trial) as file:
                model = _model(str(file), request)
            writer.append("predictions", f"{FOLDER}-{name}", _rows(model, trial, images))
        if missing:
            writer.compact(f"{FOLDER}-{name}")
            writer.flush()
    finally:
        writer.queue.close()
        lease.release()
    return Predicted(images.sheet, len(missing), len(wanted.there) - len(missing), len(wanted.gone))


def _images_of(directory: SweepDirectory, trial: str) -> SweepImages:
    """Read from a sweep's sheet, and from one of its models, how its images were made."""
    sheet = read_sheet(directory)
    info, dataset = sheet.get("dataset_info") or {}, sheet["dataset"]
    data = directory.folder.child("models").read(f"{trial}.safetensors")
    size = int(check_tensors(f"the model of {trial}", data)["image_size"])
    made = info.get("images") or {}
    options = dataset.get("columns")
    if dataset["name"] == "table" and not made:
        raise InputError(
            f"{directory.uri}/sweep.yaml does not say how the images of its table were scaled: resume the sweep once "
            "with this version, which notes it"
        )
    window = made.get("window")
    return SweepImages(
        classes=tuple(str(one) for one in info.get("classes") or ()),
        attributes=tuple(str(one) for one in info.get("attributes") or ()),
        size=size,
        columns=options if isinstance(options, Mapping) else {},
        fit=str(made.get("fit") or "pad"),
        window=None if window is None else (float(window[0]), float(window[1])),
        everywhere=bool(made.get("everywhere")),
    )


def _check_untrained(directory: SweepDirectory, images: ExternalImages) -> None:
    """Refuse images that a model may have been trained or selected on."""
    splits = read_parts(Readable(directory.folder), "splits", columns=("seed", "fold", "image", "split"), left_out=[])
    used = splits.filter(pc.is_in(splits["split"], pa.array(_TRAINED_ON)))["image"].unique()
    known = sum(pc.is_in(pa.array(images.keys, pa.string()), used.cast(pa.string())).to_pylist())
    if known:
        raise InputError(
            f"an external test set must hold other images than the sweep, but {known} of {len(images.keys)} images of "
            f"{images.sheet.file} are training or validation images of it: leave them out"
        )


def _note(folder: Folder, sheet: ExternalSet) -> None:
    """Write the sheet of a test set, or compare it with the one that is there."""
    place, name = folder.child(FOLDER), f"{sheet.name}.json"
    try:
        known = external_of(json.loads(read_small(place, name)))
    except FileNotFoundError:
        place.write(name, sheet.sealed())
        return
    except ValueError as error:
        raise InputError(f"{folder.uri}/{FOLDER}/{name} is damaged: remove it, and predict again") from error
    if known is None or known.data_checksum != sheet.data_checksum:
        raise InputError(
            f"other data were predicted under the name '{sheet.name}' in {folder.uri} before: give this test set "
            "another name (--name)"
        )


def _predicted(folder: Folder, variant: str) -> set[str]:
    """Trials that have predicted a test set."""
    rows = read_parts(Readable(folder), "predictions", columns=("trial_id", "variant", "image"))
    return set(rows.filter(pc.equal(rows["variant"], variant))["trial_id"].unique().to_pylist())


def _model(file: str, request: Request) -> Classifier:
    import torch

    from trainable.api import load_model

    device = request.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(file, device, request.trust_plugins)


def _rows(model: Classifier, trial: str, images: ExternalImages) -> pa.Table:
    """One model's predictions, as rows of the table."""
    import numpy as np
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(images.labels), _BATCH):
            batch = torch.from_numpy(np.array(images.images[start : start + _BATCH]))
            # Networks see three channels; grey images lie in the cache with one.
            seen = batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
            parts.append(model(seen).softmax(dim=1).float().cpu())
    probability = torch.cat(parts).numpy()
    columns: dict[str, Any] = {
        "trial_id": [trial] * len(probability),
        "variant": [images.sheet.variant] * len(probability),
        "image": images.keys,
        "patient": images.patients or [None] * len(probability),
        "label": images.labels,
        "attribute": pa.array(images.attribute, pa.int64()),
        "predicted": probability.argmax(axis=1),
        **{f"p_{name}": probability[:, k] for k, name in enumerate(model.classes)},
    }
    table = typed("predictions", pa.table(columns))
    check_predictions(table, trial)
    return table
