"""Finished trials: from a sweep's Parquet files to curves, figures and a report.

This package knows neither Ray nor torch.

Names are imported on first use, so that ``import analysis`` loads neither pandas nor plotly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# For type checkers and editors alone: at run time ``__getattr__`` finds the names.
if TYPE_CHECKING:
    from analysis.changes import mark_seeds_added
    from analysis.examples import example, example_folder
    from analysis.export.csv import write_csv
    from analysis.export.pack import pack
    from analysis.figures.confusion import plot_confusion
    from analysis.figures.learning import plot_learning_curves
    from analysis.figures.plotly_curve import plot_accuracy_vs_bias
    from analysis.figures.search import plot_lambda_map, plot_search_budget
    from analysis.figures.small_multiples import plot_small_multiples
    from analysis.loading import load, load_config, load_history, load_predictions, load_splits
    from analysis.many.against_erm import against_erm
    from analysis.many.atlas import atlas_table, breaks_at
    from analysis.many.rank_map import plot_ranks
    from analysis.many.ranks import ranks
    from analysis.many.rule_costs import rule_costs
    from analysis.numbers.comparability import shared_properties
    from analysis.numbers.confusion import confusion_by_strength
    from analysis.numbers.epochs import epoch_choice
    from analysis.numbers.published import beside_published, published_numbers
    from analysis.numbers.search import expected_validation, lambda_map
    from analysis.numbers.tables import cost, selected_hyperparameters, test_figures
    from analysis.planning.components import variance_components
    from analysis.points.measures import register_measure
    from analysis.report.page import write_report
    from analysis.results import (
        accuracy_vs_bias,
        areas,
        at_bias,
        breaking_points,
        external_curve,
        primary_comparison,
        summary_table,
        won_back,
    )
    from store.errors import InputError

_HOME = {
    "InputError": "store.errors",
    "accuracy_vs_bias": "analysis.results",
    "against_erm": "analysis.many.against_erm",
    "areas": "analysis.results",
    "at_bias": "analysis.results",
    "atlas_table": "analysis.many.atlas",
    "beside_published": "analysis.numbers.published",
    "breaking_points": "analysis.results",
    "breaks_at": "analysis.many.atlas",
    "confusion_by_strength": "analysis.numbers.confusion",
    "cost": "analysis.numbers.tables",
    "epoch_choice": "analysis.numbers.epochs",
    "example": "analysis.examples",
    "example_folder": "analysis.examples",
    "expected_validation": "analysis.numbers.search",
    "lambda_map": "analysis.numbers.search",
    "external_curve": "analysis.results",
    "load": "analysis.loading",
    "load_config": "analysis.loading",
    "load_history": "analysis.loading",
    "load_predictions": "analysis.loading",
    "load_splits": "analysis.loading",
    "mark_seeds_added": "analysis.changes",
    "pack": "analysis.export.pack",
    "plot_accuracy_vs_bias": "analysis.figures.plotly_curve",
    "plot_confusion": "analysis.figures.confusion",
    "plot_lambda_map": "analysis.figures.search",
    "plot_learning_curves": "analysis.figures.learning",
    "plot_ranks": "analysis.many.rank_map",
    "plot_search_budget": "analysis.figures.search",
    "plot_small_multiples": "analysis.figures.small_multiples",
    "primary_comparison": "analysis.results",
    "published_numbers": "analysis.numbers.published",
    "ranks": "analysis.many.ranks",
    "register_measure": "analysis.points.measures",
    "rule_costs": "analysis.many.rule_costs",
    "selected_hyperparameters": "analysis.numbers.tables",
    "shared_properties": "analysis.numbers.comparability",
    "summary_table": "analysis.results",
    "test_figures": "analysis.numbers.tables",
    "variance_components": "analysis.planning.components",
    "won_back": "analysis.results",
    "write_csv": "analysis.export.csv",
    "write_report": "analysis.report.page",
}

__all__ = [
    "InputError",
    "accuracy_vs_bias",
    "against_erm",
    "areas",
    "at_bias",
    "atlas_table",
    "beside_published",
    "breaking_points",
    "breaks_at",
    "confusion_by_strength",
    "cost",
    "epoch_choice",
    "example",
    "example_folder",
    "expected_validation",
    "external_curve",
    "lambda_map",
    "load",
    "load_config",
    "load_history",
    "load_predictions",
    "load_splits",
    "mark_seeds_added",
    "pack",
    "plot_accuracy_vs_bias",
    "plot_confusion",
    "plot_lambda_map",
    "plot_learning_curves",
    "plot_ranks",
    "plot_search_budget",
    "plot_small_multiples",
    "primary_comparison",
    "published_numbers",
    "ranks",
    "register_measure",
    "rule_costs",
    "selected_hyperparameters",
    "shared_properties",
    "summary_table",
    "test_figures",
    "variance_components",
    "won_back",
    "write_csv",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    # Kept, so that the next access does not come here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
