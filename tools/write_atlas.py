"""Writes the figures and tables of docs/atlas.md from the stored examples: ``python tools/write_atlas.py``.

The page keeps the text outside the marks ``<!-- atlas_phantom -->`` ... ``<!-- end -->``. ``--tables`` leaves the
pictures as they are, which need a Chrome or Chromium.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from page_tables import by_place, point, section, signed, table, write_page

import analysis
from analysis.loading import load_config
from store.rules import rule_name

PAGE = Path(__file__).parents[1] / "docs" / "atlas.md"
HEADLINE, BIASED = "val_counterfactual", "val_biased"
VALUES: Mapping[str, tuple[float, ...]] = {
    "atlas_phantom": (0.8, 0.9, 0.95, 1.0),
    "atlas_digits": (0.9, 0.95, 0.99, 1.0),
}
"""Bias values at which the share won back is given."""
TITLES: Mapping[str, tuple[str, str, str]] = {
    "atlas_phantom": (
        "Synthetic brain slices: accuracy against the share of annotated training gliomas",
        "share ρ of training gliomas with a red measurement line",
        "synthetic slices, not patients",
    ),
    "atlas_digits": (
        "Biased digits: accuracy against the share of training digits on their class's colour",
        "share ρ of training digits on the background of their class",
        "5,000 digits, background colours of our own",
    ),
}
AGAINST = (
    "Method minus erm, paired by seed and test image, where p adjusted by Holm over the whole table is below .05; (in "
    "brackets) where it is below .05 only when adjusted over the methods at that bias value; a dot where neither is."
)
BEST = (
    "Methods that may be the best at a bias value: those that Holm's test of their differences to all others does not "
    "put below another, paired by seed and test image, the ceiling left out (95 %, each bias value by itself). One "
    "name alone would be a winner."
)
CHOICE = (
    "Test accuracy of the configurations that biased validation chose, minus those that counterfactual validation "
    "chose, paired by seed, with 95 % interval, not adjusted."
)


def main() -> None:
    """Draw the pictures and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="leave the pictures as they are")
    if not parser.parse_args().tables:
        for name in VALUES:
            draw(name, PAGE.parent / "images" / f"{name}.png")
    write_page(PAGE, VALUES, tables_of)


def draw(name: str, picture: Path) -> None:
    """Draw small multiples of an example.

    Args:
        name: Name of the example.
        picture: File to write.
    """
    folder = analysis.example_folder(name)
    trials = analysis.load(folder)
    curve = analysis.accuracy_vs_bias(trials, analysis.load_predictions(folder), rules=[HEADLINE])
    infos = load_config(folder)["methods_info"]
    title, axis, note = TITLES[name]
    figure = analysis.plot_small_multiples(
        curve,
        title=title,
        axis_title=axis,
        metric="accuracy (unbiased test images)",
        note=f"{note}; chosen by {rule_name(HEADLINE)}, {curve['n_seeds'].max()} seeds (dots), 95 % bands over "
        f"{curve['band'].iloc[0]}",
        names={label: info["long_name"] for label, info in infos.items() if info.get("long_name")},
    )
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_x=0.02)
    figure.write_image(picture, width=1000, height=figure.layout.height, scale=1.5)
    print(picture)


def tables_of(name: str) -> list[str]:
    """Write the tables of an example as lines of the page.

    Args:
        name: Name of the example.

    Returns:
        The lines.
    """
    folder = analysis.example_folder(name)
    trials, predictions = analysis.load(folder), analysis.load_predictions(folder)
    curve = analysis.accuracy_vs_bias(trials, predictions, rules=[HEADLINE])
    atlas = analysis.atlas_table(trials, predictions, VALUES[name], HEADLINE)
    against = analysis.against_erm(trials, predictions, rule=HEADLINE)
    costs = analysis.rule_costs(trials, predictions, against=HEADLINE)
    ranks = analysis.ranks(trials, predictions, rule=HEADLINE)
    order = order_of(curve)
    accuracies = (
        f"Mean accuracy on the unbiased test images and half of its 95 % interval over {curve['band'].iloc[0]}; "
        f"hyperparameters chosen by {rule_name(HEADLINE)}, {curve['n_seeds'].max()} seeds."
    )
    return [
        *section("Accuracy", _accuracy(curve, order), accuracies),
        *section("Breaks at, won back, cost", _breaks(atlas, order, VALUES[name]), atlas.attrs["caption"]),
        *section("Against plain training", _against(against, order), AGAINST),
        *section("Best", _best(ranks), BEST),
        *section("What choosing on biased data costs", _choice(costs, order, VALUES[name]), CHOICE),
    ]


def order_of(curve: pd.DataFrame) -> list[str]:
    """Labels in the order of the picture's panels, the ceiling first and plain training second."""
    everywhere = curve.groupby("bias_value")["n_seeds"].min()
    shared = curve[curve["bias_value"].isin(everywhere[everywhere > 0].index)]
    means = shared.groupby("label")["mean"].mean().sort_values(ascending=False)
    first = [label for label in ("ceiling", "erm") if label in means]
    return [*first, *(str(label) for label in means.index if label not in first)]


def _accuracy(curve: pd.DataFrame, order: Sequence[str]) -> str:
    values, cells = sorted(curve["bias_value"].unique()), by_place(curve, "label", "bias_value")
    rows = [[f"`{label}`", *(point(cells.get((label, value))) for value in values)] for label in order]
    return table(["method", *(f"{value:g}" for value in values)], rows)


def _breaks(atlas: pd.DataFrame, order: Sequence[str], values: Sequence[float]) -> str:
    by_label = {row["label"]: row for row in atlas.to_dict("records")}
    plain = by_label["erm"]["seconds"] / by_label["erm"]["trainings"]
    rows = []
    for label in order:
        if label in by_label:
            row = by_label[label]
            won = [str(row[f"won_back_{value:g}"]) for value in values]
            each = row["seconds"] / row["trainings"] / plain
            rows.append([f"`{label}`", str(row["breaks_at"]), *won, str(row["trainings"]), f"{each:.1f}"])
    heads = [f"won back at {value:g}" for value in values]
    return table(["method", "breaks at", *heads, "trainings", "time of one, erm = 1"], rows)


def _against(frame: pd.DataFrame, order: Sequence[str]) -> str:
    values, cells = sorted(frame["bias_value"].unique()), by_place(frame, "label", "bias_value")
    compared = [label for label in order if label in set(frame["label"])]
    rows = [[f"`{label}`", *(_difference(cells.get((label, value))) for value in values)] for label in compared]
    return table(["method", *(f"{value:g}" for value in values)], rows)


def _difference(row: Mapping[Any, Any] | None) -> str:
    if row is None or row["reason"]:
        return "not applicable" if row is not None and row["reason"].startswith("not applicable") else "-"
    if row["p_holm_table"] < 0.05:
        return signed(row["difference"])
    return f"({signed(row['difference'])})" if row["p_holm"] < 0.05 else "·"


def _best(ranks: pd.DataFrame) -> str:
    rows = []
    for value, group in ranks.groupby("bias_value"):
        named = group[group["may_be_best"].eq(True)].sort_values("rank")["label"]
        rows.append([f"{value:g}", str(group["rank"].notna().sum()), ", ".join(f"`{label}`" for label in named)])
    return table(["ρ", "methods", "may be the best"], rows)


def _choice(costs: pd.DataFrame, order: Sequence[str], values: Sequence[float]) -> str:
    cells = by_place(costs[costs["rule"] == BIASED], "label", "at")
    places = ["area", *(f"{value:g}" for value in values)]
    lines = [[f"`{label}`", *(_cost(cells.get((label, place))) for place in places)] for label in order]
    return table(["method", "mean over the axis", *places[1:]], lines)


def _cost(row: Mapping[Any, Any] | None) -> str:
    if row is None or row["reason"]:
        return "-"
    if row["same"]:
        return "0 (the same)"
    return f"{signed(row['difference'])} [{signed(row['low'], 2)}, {signed(row['high'], 2)}]"


if __name__ == "__main__":
    main()
