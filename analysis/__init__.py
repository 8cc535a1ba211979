"""Finished trials: from a sweep's Parquet files to curves, figures and a report. Knows neither Ray nor torch.

Names are imported on first use, so that ``import analysis`` loads neither pandas nor plotly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.breaking import breaking_points
    from analysis.changes import mark_seeds_added
    from analysis.comparisons import areas, won_back
    from analysis.curves import accuracy_vs_bias
    from analysis.diagnosis import confusion_by_strength
    from analysis.epochs import epoch_choice
    from analysis.examples import example, example_folder
    from analysis.export_tables import write_csv
    from analysis.figures import plot_accuracy_vs_bias
    from analysis.figures_diagnosis import plot_confusion
    from analysis.figures_search import plot_lambda_map, plot_learning_curves, plot_search_budget
    from analysis.load import load, load_config, load_history, load_predictions, load_splits
    from analysis.packing import pack
    from analysis.planning import variance_components
    from analysis.primary import primary_comparison
    from analysis.published import beside_published, published_numbers
    from analysis.report import write_report
    from analysis.search_tables import expected_validation, lambda_map
    from analysis.sharing import shared_properties
    from analysis.tables import cost, selected_hyperparameters, summary_table, test_figures
    from store.errors import InputError

_HOME = {
    "InputError": "store.errors",
    "accuracy_vs_bias": "curves",
    "areas": "comparisons",
    "beside_published": "published",
    "breaking_points": "breaking",
    "confusion_by_strength": "diagnosis",
    "cost": "tables",
    "epoch_choice": "epochs",
    "example": "examples",
    "example_folder": "examples",
    "expected_validation": "search_tables",
    "lambda_map": "search_tables",
    "load": "load",
    "load_config": "load",
    "load_history": "load",
    "load_predictions": "load",
    "load_splits": "load",
    "mark_seeds_added": "changes",
    "pack": "packing",
    "plot_accuracy_vs_bias": "figures",
    "plot_confusion": "figures_diagnosis",
    "plot_lambda_map": "figures_search",
    "plot_learning_curves": "figures_search",
    "plot_search_budget": "figures_search",
    "primary_comparison": "primary",
    "published_numbers": "published",
    "selected_hyperparameters": "tables",
    "shared_properties": "sharing",
    "summary_table": "tables",
    "test_figures": "tables",
    "variance_components": "planning",
    "won_back": "comparisons",
    "write_csv": "export_tables",
    "write_report": "report",
}

__all__ = [
    "InputError",
    "accuracy_vs_bias",
    "areas",
    "beside_published",
    "breaking_points",
    "confusion_by_strength",
    "cost",
    "epoch_choice",
    "example",
    "example_folder",
    "expected_validation",
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
    "plot_search_budget",
    "primary_comparison",
    "published_numbers",
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
    home = _HOME[name]
    module = importlib.import_module(home if "." in home else f"analysis.{home}")
    # ``analysis.load`` is both: the import binds the module to the name, and that module is callable.
    value = module if name == home else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
