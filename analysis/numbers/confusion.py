"""Confusion of the classes at every bias strength, from the predictions of the confirm trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.many_sweeps import told_apart
from analysis.numbers.captions import confusion_words
from analysis.points.points import facets
from analysis.points.scores import effective
from analysis.statistics.variance import Sample, share_interval
from store.errors import InputError
from store.rules import RULES

_LINE = ["sweep", "dataset", "network", "rule", "method", "label", "facet", "bias_axis", "bias_value", "bias_strength"]
_COLUMNS = [
    *_LINE, "variant", "true", "predicted", "share", "low", "high", "band", "n_seeds", "n_planned",
    "n_patients", "n_images", "caption",
]  # fmt: skip


def confusion_by_strength(
    trials: pd.DataFrame, predictions: pd.DataFrame, rule: str | None = None, variant: str = "unbiased"
) -> pd.DataFrame:
    """Compute the shares of each true class that are taken for each class, at every bias value, means over seeds.

    Args:
        trials: What ``analysis.load`` returned.
        predictions: What ``analysis.load_predictions`` returned.
        rule: Selection rule to keep; default: all.
        variant: Test variant: ``unbiased``, ``aligned``, ``independent`` or ``conflicting``.

    Returns:
        One row per (line, bias value, true class, predicted class), weak bias first: ``share`` of the true class's
        images, ``low`` and ``high`` (Wilson's interval over seeds and the patients of the true class, see
        ``variance.clustered_wilson``; missing for one seed), ``band`` ("seeds and patients", "seeds and images" where
        there are none, "seeds only" where the seeds were not tested on the same ones or the class has one, or "none"),
        ``n_seeds`` of ``n_planned``, ``n_patients`` (or images) in the band, ``n_images`` (test images of the true
        class, folds pooled), ``caption``. Classes are numbers, in the order of the data set's class names.

    Raises:
        InputError: No prediction of that variant.

    Example:
        >>> import analysis
        >>> trials = analysis.example().query("bias_value == 1 and label == 'erm'")
        >>> predictions = analysis.load_predictions(analysis.example_folder(), "unbiased")
        >>> table = analysis.confusion_by_strength(trials, predictions, rule="val_counterfactual")
        >>> glioma = table[(table["facet"] == "gamma = 0") & (table["true"] == 1)]
        >>> dict(zip(glioma["predicted"].tolist(), glioma["share"].round(2).tolist(), strict=True))
        {0: 0.44, 1: 0.0, 2: 0.56}
    """
    trials, predictions = told_apart(trials, predictions)
    shown = predictions[predictions["variant"] == variant]
    if shown.empty:
        raise InputError(f"a confusion matrix needs predictions, but there are none of '{variant}': finish the sweep")
    tested = _Tested(shown)
    rows = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed") & ~trials["superseded"]]
    rows = rows.assign(facet=facets(trials).reindex(rows.index), rule=rows["rules"]).explode("rule")
    rows = rows[rows["trial_id"].isin(tested.rows.keys()) & rows["rule"].notna()]
    if rule is not None:
        rows = rows[rows["rule"] == rule]
    # Of several sweeps one may have more classes than another.
    classes: dict[object, int] = {
        sweep: tested.n_classes(of_sweep["trial_id"]) for sweep, of_sweep in rows.groupby("sweep", sort=False)
    }
    frames = []
    for key, group in rows.groupby(_LINE, dropna=False, sort=False):
        cells = group["cell"].nunique()
        by_seed = [of_seed for _, of_seed in group.groupby("seed") if of_seed["cell"].nunique() == cells]
        if by_seed:
            planned = group["seeds_planned"].max()
            # Folds are parts of one test set: their counts are added before shares are taken.
            seeds = [np.concatenate([tested.rows[t] for t in of_seed["trial_id"]]) for of_seed in by_seed]
            line = {**dict(zip(_LINE, key, strict=True)), "variant": variant}
            n = classes[key[0]]
            shares = pd.DataFrame([line | row for true in range(n) for row in tested.shares(seeds, true, n)])
            frames.append(shares.assign(n_planned=len(by_seed) if planned != planned else int(planned)))
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)
    ranks: dict[str, int] = {known: i for i, known in enumerate(RULES)}
    table = table.assign(rank=table["rule"].map(lambda name: ranks.get(str(name), len(ranks))))
    table["caption"] = [confusion_words(row) for row in table.to_dict("records")]
    order = ["sweep", "rank", "facet", "label", "bias_strength", "bias_value"]
    return table.sort_values(order, kind="stable", ignore_index=True)[_COLUMNS]


def worst_mistakes(confusion: pd.DataFrame, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Pick the most frequent mistake of each line at each bias value, with the classes' names.

    Args:
        confusion: What ``confusion_by_strength`` returned.
        classes: Names of the classes; default: their numbers.

    Returns:
        The rows of those mistakes with ``true`` and ``predicted`` as text.

    Example:
        >>> rows = pd.DataFrame({"true": [0, 0, 0], "predicted": [0, 1, 2], "share": [0.7, 0.1, 0.2]})
        >>> rows = rows.assign(**dict.fromkeys(_LINE, ""))
        >>> worst_mistakes(rows, ["glioma", "meningioma", "pituitary"])[["true", "predicted", "share"]].values.tolist()
        [['glioma', 'pituitary', 0.2]]
    """
    wrong = confusion[confusion["true"] != confusion["predicted"]]
    worst = wrong.sort_values("share", ascending=False, kind="stable").drop_duplicates(_LINE).sort_index()
    names = dict(enumerate(classes))
    return worst.assign(
        **{side: worst[side].map(lambda c: str(names.get(int(c), int(c)))) for side in ("true", "predicted")}
    )


class _Tested:
    """Predictions of one test variant.

    Attributes:
        rows: Places of each trial's predictions.
    """

    def __init__(self, predictions: pd.DataFrame) -> None:
        codes, ids = pd.factorize(predictions["trial_id"])
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(ids)))
        self.rows = {str(t): order[e - n : e] for t, e, n in zip(ids, ends, np.diff(ends, prepend=0), strict=True)}
        self._true = predictions["label"].to_numpy(dtype=np.int64)
        weighted = "weight" in predictions and bool(predictions["weight"].notna().any())
        self._weight = predictions["weight"].fillna(1.0).to_numpy(dtype=np.float64) if weighted else None
        self._predicted = predictions["predicted"].to_numpy(dtype=np.int64)
        patients = predictions["patient"] if "patient" in predictions else pd.Series(None, index=predictions.index)
        # A sweep without patients may stand beside one with them.
        self._known = patients.notna().to_numpy(dtype=bool)
        self._unit = pd.factorize(patients.where(self._known, predictions["image"]))[0].astype(np.int64)

    def n_classes(self, trials: Iterable[str]) -> int:
        """Count the classes up to the last that is the true or the predicted one of some image of the trials."""
        rows = np.concatenate([self.rows[t] for t in trials])
        return int(max(self._true[rows].max(), self._predicted[rows].max())) + 1

    def shares(self, seeds: Sequence[NDArray[np.intp]], true: int, n_classes: int) -> Iterator[dict[str, object]]:
        """Shares of a true class that are called each class, with their intervals.

        Args:
            seeds: Places of the predictions of each seed.
            true: The class.
            n_classes: Classes.

        Yields:
            One row a predicted class; none for a class without test images.
        """
        rows = [places[self._true[places] == true] for places in seeds]
        if not all(len(of_seed) for of_seed in rows):
            return
        units = np.unique(np.concatenate([self._unit[of_seed] for of_seed in rows]))
        # Images by seed, unit and predicted class.
        counts = np.stack([self._by_unit(of_seed, units, n_classes) for of_seed in rows])
        sizes, total = counts.sum(axis=2, keepdims=True), counts.sum(axis=(1, 2), keepdims=True)
        if not total.all():
            return
        values = counts.sum(axis=1) / total[:, 0]
        # A patient can be left out of all seeds at once only where all were tested on the same images of it.
        same = np.allclose(sizes / total, sizes[:1] / total[:1], rtol=1e-12, atol=0)
        known = "patients" if all(self._known[of_seed].all() for of_seed in rows) else "images"
        left_out = (total * values[:, None] - counts) / (total - sizes) if same and (total > sizes).all() else None
        band = f"seeds and {known}" if left_out is not None else "seeds only"
        n_images = int(np.mean([len(of_seed) for of_seed in rows]))
        n_effective, worth = float(n_images), math.inf
        if self._weight is not None:
            w = self._weight[rows[0]]
            n_effective, worth = effective(w, w**2), effective(sizes[0], sizes[0] ** 2)
        for predicted in range(n_classes):
            sample = Sample(values[:, predicted])
            if left_out is not None:
                # Images of one true class: their patients form a single stratum.
                sample = Sample(
                    values[:, predicted], left_out[:, :, predicted], np.zeros(len(units), dtype=np.int64), worth
                )
            interval = share_interval(sample, n_effective)
            yield {
                "true": true,
                "predicted": predicted,
                "share": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "band": band if len(seeds) > 1 else "none",
                "n_seeds": len(seeds),
                "n_patients": len(units) if left_out is not None and len(seeds) > 1 else 0,
                "n_images": n_images,
            }

    def _by_unit(self, rows: NDArray[np.intp], units: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
        cell = np.searchsorted(units, self._unit[rows]) * n_classes + self._predicted[rows]
        weight = None if self._weight is None else self._weight[rows]
        counts = np.bincount(cell, weight, minlength=len(units) * n_classes)
        return counts.reshape(len(units), n_classes).astype(float)
