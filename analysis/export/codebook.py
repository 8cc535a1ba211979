"""Meaning of every column of every table, in a sentence."""

from __future__ import annotations

from analysis.points.measures import own_measures
from store.columns import BIAS, HISTORY, PREDICTIONS, TRIALS

_SHARED = {
    "rule": "Selection rule that chose the hyperparameters (val_unbiased is an oracle).",
    "rules": "Selection rules that chose this configuration, separated by semicolons.",
    "superseded": "True where no rule chooses this configuration any more.",
    "seeds_planned": "Confirm seeds the sweep asks for.",
    "headline_rule": "Selection rule of the headline curve.",
    "whole_axis": "True for a ceiling that serves every bias value.",
    "search_seeds": "Search seeds planned for each candidate of the cell's search.",
    "units_planned": "Repetitions of the procedure, else splits with nested seeds, that are planned; 1 = seeds alone.",
    "stronger": "Direction of the axis in which the bias is stronger: larger or smaller.",
    "directory": "Folder the row was read from.",
    "facet": "Bias parameters off the axis that vary, in words.",
    "mean": "Mean over the seeds.",
    "low": "Lower end of the 95 % interval; empty without one.",
    "high": "Upper end of the 95 % interval; empty without one.",
    "median": "Median over the seeds.",
    "worst_case": "Mean if every missing seed had the worst possible value.",
    "n_seeds": "Seeds that finished.",
    "n_planned": "Seeds planned.",
    "n_failed": "Seeds whose trial failed.",
    "n_collapsed": "Seeds whose training collapsed (they count).",
    "n_added": "Seeds among those planned that were added after test results existed.",
    "seeds_added": "Confirm seeds of the sweep that were added after test results existed.",
    "n_patients": "Patients (images, where there are none) in the interval; 0 = seeds only.",
    "least_patients": "Patients (or images) of the class that has fewest in the interval; 0 = seeds only.",
    "n_test": "Test images.",
    "band": "What the interval covers: seeds and patients, seeds and images, seeds only, none; repetitions where the "
    "search was repeated.",
    "values": "The value of each seed, separated by semicolons.",
    "seeds": "The seeds in the order of the values, separated by semicolons.",
    "shared": "True where one cell serves the whole axis.",
    "named_by": "Of a worst class or group: the seeds that named it, other seeds, or itself (which lies too low).",
    "not_applicable": "Why the method cannot work here; empty where it can.",
    "left_out": "Bias values at which the method is not applicable, in words; empty where it is everywhere.",
    "caption": "The row in words.",
    "column": "The test column shown.",
    "text": "The result as printed.",
    "reason": "Why there is no number; empty where there is one.",
    "validation": "Validation value that the rule maximises.",
    "hyperparameters": "All hyperparameters as JSON text.",
    "pretrain_epochs": "Epochs of plain training before the method starts.",
}
_OF_TABLE = {
    "won_back": {
        "ratio": "(method - erm) / (ceiling - erm), ratio of means over paired seeds.",
        "g": "Fieller's g; at 1 or more the gap is not significant and no share can be given.",
    },
    "areas": {
        "area": "Normalised area under the curve: a mean over the axis.",
        "reason": "Why there is no area, or no difference; empty where there are both, and for the reference.",
        "difference": "Area minus that of erm, paired by seed.",
        "difference_low": "Lower end of its 95 % interval.",
        "difference_high": "Upper end of its 95 % interval.",
        "p": "p of the difference over seeds and patients, from the variance of its interval.",
        "p_seeds": "Paired t test over seeds alone: on these test images.",
        "n_pairs": "Seeds in the difference and its tests.",
        "sign_flip_p": "Exact sign-flip test over seeds alone: on these test images.",
        "p_holm": "p adjusted by Holm over the methods of the same rule and facet; empty of the declared comparison.",
        "declared": "True for the comparison declared beforehand, which is in no family of tests.",
    },
    "breaking_points": {
        "value": "Bias value at which the curve first falls below the threshold; empty where censored.",
        "censored": "beyond or before the values measured, or empty.",
        "low": "Weaker end of the 95 % interval by the crossed bootstrap, in words of the axis.",
        "high": "Stronger end of it.",
        "not_better_from": "Weakest bias at which the method is not better than erm any more.",
        "threshold": "The threshold.",
    },
    "ranks": {
        "rank": "Rank of the mean among the methods at this bias value, the ceiling left out; 1 = best.",
        "n_methods": "Methods that are ranked there.",
        "rank_low": "Best rank of the 95 % interval (paired differences to all others, Holm).",
        "rank_high": "Worst rank of it.",
        "may_be_best": "True where the method cannot be told from the best at this bias value.",
        "share_first": "Share of the draws of the paired bootstrap in which it is the first.",
        "reason": "Why there is no rank, or no interval; empty otherwise.",
    },
    "against_erm": {
        "difference": "Method minus erm, paired by seed and patient.",
        "low": "Lower end of its 95 % interval, which is not adjusted.",
        "high": "Upper end of it.",
        "p": "p of the difference, not adjusted; empty where all seeds have the same difference.",
        "p_holm": "p adjusted by Holm over the methods at this bias value; empty of the declared comparison.",
        "p_holm_table": "p adjusted by Holm over all methods and bias values of the rule and facet.",
        "n_tests": "Tests at this bias value.",
        "n_tests_table": "Tests of the whole table.",
        "declared": "True of the comparison that the sweep declared beforehand, whose p is the only unadjusted one.",
        "reason": "Why there is no test; empty where there is one.",
    },
    "at_natural_bias": {
        "bias_value": "Bias of the data as they are, on the axis.",
        "below": "The bias value measured next below it (the same where it was measured itself).",
        "above": "The bias value measured next above it.",
        "mean": "Mean over seeds of the test figure, interpolated linearly between the two.",
        "reference": "What lost is measured against: the ceiling, or plain training at the weakest bias measured.",
        "lost": "Reference minus the line, paired by seed and patient.",
        "lost_low": "Lower end of its 95 % interval.",
        "lost_high": "Upper end of its 95 % interval.",
        "gained": "The line minus plain training (erm), paired by seed and patient.",
        "gained_low": "Lower end of its 95 % interval.",
        "gained_high": "Upper end of its 95 % interval.",
        "share": "gained over what erm lost; empty where that loss is not significant.",
        "share_low": "Lower end of its 95 % interval (Fieller).",
        "share_high": "Upper end of its 95 % interval (Fieller).",
        "share_text": "The share in words; - where the loss is not significant.",
        "reason": "Why there is no figure, or no difference; empty otherwise.",
    },
    "selected_hyperparameters": {
        "candidates": "Completed search trials the choice was made from.",
        "anchor": "True where the rule preferred no debiasing.",
        "validation_se": "Standard error of the validation value over search seeds; empty for one seed.",
        "n_search_seeds": "Search seeds that the validation value is the mean over.",
    },
    "lambda_map": {
        "chosen": "True for the candidate that the rule chose.",
        "validation_se": "Standard error of the validation value over search seeds; empty for one seed.",
        "n_search_seeds": "Search seeds that the validation value is the mean over.",
    },
    "expected_validation": {
        "n": "Search trials, the anchor left out.",
        "expected": "Expected best validation value of n search trials (Dodge et al. 2019), the anchor left out.",
    },
    "confusion": {
        "variant": "Test variant.",
        "true": "True class, a number in the order of the class names.",
        "predicted": "Predicted class.",
        "share": "Share of the true class's images that were called so, mean over seeds.",
        "n_images": "Test images of the true class.",
    },
    "published": {
        "source": "Publication.",
        "name": "Its name for the method.",
        "published": "Its number.",
        "verdict": "Whether that lies inside the own 95 % interval.",
        "note": "How its setting differs.",
    },
    "cost": {
        "trials": "Trials.",
        "completed": "Trials completed.",
        "pruned": "Trials stopped early.",
        "failed": "Trials failed.",
        "epochs": "Epochs trained.",
        "hours": "Hours of training and validation, waiting excluded.",
        "device_hours": "Hours times the share of the device each trial had.",
        "price": "Device hours times the price an hour.",
    },
    "sharing": {
        "property": "What is compared.",
        "shared by": "Sweeps that share it.",
    },
}


def explain(table: str, column: str) -> str:
    """Explain a column of an exported table.

    Args:
        table: Name of the table, such as ``curve``.
        column: Name of the column.

    Returns:
        A sentence.

    Example:
        >>> explain("areas", "p_holm")
        'p adjusted by Holm over the methods of the same rule and facet; empty of the declared comparison.'
        >>> explain("trials", "recall_glioma")
        'Recall of class glioma, unbiased test variant.'
    """
    text = _OF_TABLE.get(table, {}).get(column)
    if text:
        return text
    if table == "history" and column in HISTORY:
        return HISTORY[column][1]
    if column.startswith("recall_"):
        return f"Recall of class {column.removeprefix('recall_')}, unbiased test variant."
    if column.startswith(BIAS) and column not in TRIALS:
        return f"Bias parameter {column.removeprefix(BIAS)}, in its own units; empty where the data set has none."
    if table == "sharing":
        return f"The property of sweep {column}, in words."
    for known in (TRIALS, PREDICTIONS) if table == "trials" or column not in _SHARED else ():
        if column in known:
            return known[column][1]
    own = {measure.column: measure for measure in own_measures()}
    if table == "trials" and column in own:
        return own[column].says
    return _SHARED.get(column, f"Hyperparameter {column} of the method.")
