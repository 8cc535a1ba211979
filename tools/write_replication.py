"""Writes the tables of docs/replication.md from the stored examples: ``python tools/write_replication.py``.

The page keeps the text outside the marks ``<!-- coloured_digits_extreme -->`` ... ``<!-- end -->``.
"""

from __future__ import annotations

from pathlib import Path

from page_tables import section, table, write_page

import analysis
from analysis.loading import load_config
from analysis.numbers.published import NOTES

PAGE = Path(__file__).parents[1] / "docs" / "replication.md"
RULE = "val_counterfactual"
NAMES = ("coloured_digits_extreme", "biased_digits_paper")


def main() -> None:
    """Write the tables."""
    write_page(PAGE, NAMES, tables_of)


def tables_of(name: str) -> list[str]:
    """Write the table of an example as lines of the page.

    Args:
        name: Name of the example.

    Returns:
        The lines.
    """
    folder = analysis.example_folder(name)
    trials, predictions = analysis.load(folder), analysis.load_predictions(folder)
    shown = analysis.summary_table(trials, predictions, rule=RULE)
    labels = set(trials["label"])
    lines = [
        [f"`{label}`" if label in labels else str(label), *map(str, row)]
        for label, row in zip(shown.index, shown.to_numpy(), strict=True)
    ]
    caption = f"{shown.attrs['caption']} Published numbers: inside or outside that interval; {_notes(folder)}."
    return section("Ours and theirs", table([str(shown.columns.name), *map(str, shown.columns)], lines), caption)


def _notes(folder: Path) -> str:
    dataset = load_config(folder)["dataset"]["name"]
    sources = dict.fromkeys(analysis.published_numbers(dataset)["source"])
    return "; ".join(f"{source}: {NOTES[source]}" for source in sources)


if __name__ == "__main__":
    main()
