"""The report in words: captions, the meaning of a rule, the description of a curve.

The words are the same whether a method wins or loses.
"""

from __future__ import annotations

import math

import pandas as pd

from analysis.changes import added_words
from analysis.findings import Findings
from analysis.loading import section
from analysis.numbers.captions import kinds_of, redraws, span, tested, unit_of
from analysis.report.likes import like_words
from analysis.statistics.intervals import Interval
from analysis.sweep_folder import Sweep
from store.rules import ORACLE, rule_name

_RULE_MEANS = {
    "val_counterfactual": "validation images with the bias painted independently of the class",
    "val_reweighted": "biased validation images re-weighted as if bias and class were independent, less one s.e.",
    "val_biased": "validation images drawn like the training images",
    ORACLE: "unbiased validation images, which nobody has in practice: an upper bound, not a method",
}
_ADAPTIVE_FROM = 25


def curve_caption(findings: Findings, rule: str, curve: pd.DataFrame | None = None) -> str:
    """Write the caption of a curve under one rule: the band, the seeds, the rule, the test images.

    Args:
        findings: The report's content.
        rule: The selection rule.
        curve: Another test column's curve; default: the headline one.

    Returns:
        The caption.
    """
    rows = findings.curve if curve is None else curve
    rows = rows[(rows["rule"] == rule) & (rows["n_seeds"] > 0)]
    if rows.empty:
        return f"No confirm trial chosen by {rule_name(rule)} has finished."
    kinds, seeds = kinds_of(rows), span(rows["n_seeds"])
    repeated = any(kind.startswith("repetitions") for kind in kinds)
    unit = unit_of(kinds).removesuffix("s")
    words = [f"Lines are means over {seeds} {unit}s, each {unit} a dot."]
    words.append(added_of(findings, rule))
    if kinds:
        words.append(f"Bands are 95 % intervals over {' or '.join(kinds)},")
        given = "each with a search of its own, given" if repeated else "given the selected hyperparameters and"
        words.append(f"{given} these {tested(rows)}.")
        words.append(
            redraws(
                unit, all(s.sheet.one_split for s in findings.sweeps), any(s.sheet.painted for s in findings.sweeps)
            )
        )
    if (rows["band"] == "none").any():
        words.append("A point of one seed has no band.")
    if kinds == ["seeds only"]:
        words.append("They say nothing about other test images.")
    words.append(f"Hyperparameters chosen by {rule_name(rule)}: {_RULE_MEANS.get(rule, rule)}.")
    for sweep in findings.sweeps:
        words += [search_words(sweep, rule), like_words(sweep)]
    return " ".join(dict.fromkeys(word for word in words if word))


def added_of(findings: Findings, rule: str) -> str:
    """Write the sentence on those of a rule's seeds that were added after results had been seen, of each sweep.

    Returns:
        The sentence; "" where there is none.
    """
    rows = findings.curve[findings.curve["rule"] == rule]
    present = set(rows["sweep"])
    return added_words({sweep.name: sweep.seeds_added for sweep in findings.sweeps if sweep.name in present})


def search_words(sweep: Sweep, rule: str) -> str:
    """Write the sentence for a rule that chose among candidates that another rule's search found.

    Args:
        sweep: The sweep.
        rule: The rule.

    Returns:
        The sentence; "" where the rule had a search of its own, or the search did not adapt to a rule.

    Example:
        >>> from analysis.examples import example_folder
        >>> from analysis.sweep_folder import read_sweep
        >>> from store.open import open_folder
        >>> sweep = read_sweep(open_folder(example_folder()), "brain_phantom_study", [])
        >>> search_words(sweep, "val_biased"), search_words(sweep, "val_counterfactual")
        ('Chosen among candidates found with counterfactual validation.', '')
    """
    search = section(sweep.config, "search")
    search_rule = str(search.get("rule") or "")
    if not search_rule or search_rule == rule or search.get("per_rule"):
        return ""
    trials = search.get("trials")
    sampler = str(search.get("sampler", "auto"))
    # Under so many trials ``auto`` draws quasi-randomly: no rule has led it to its candidates.
    few = isinstance(trials, int) and trials < _ADAPTIVE_FROM
    stopping = search.get("early_stopping")
    pruned = stopping not in (None, False, "off", "none") and not (stopping == "auto" and _short_training(sweep))
    if (sampler in ("random", "qmc") or (sampler == "auto" and few)) and not pruned:
        return ""
    return f"Chosen among candidates found with {rule_name(search_rule)}."


def coincidences(findings: Findings) -> list[str]:
    """Write sentences about rules that chose the same configuration, in every cell or in some."""
    rows = findings.selected
    if rows.empty:
        return []
    sentences = []
    wide = rows.pivot_table(index=["sweep", "cell", "repeat"], columns="rule", values="trial_id", aggfunc="first")
    rules = [rule for rule in findings.rules if rule in wide]
    for i, first in enumerate(rules):
        for second in rules[i + 1 :]:
            both = wide[[first, second]].dropna()
            same = int((both[first] == both[second]).sum())
            names = f"{upper_first(rule_name(first))} and {rule_name(second)}"
            if same == len(both) > 0:
                sentences.append(f"{names} chose the same configuration in every cell: their curves are the same.")
            elif same:
                sentences.append(f"{names} chose the same configuration in {same} of {len(both)} cells.")
    return sentences


def curve_summary(curve: pd.DataFrame, metric: str, rule: str) -> str:
    """Describe a curve in words: each line's means from weak to strong bias.

    Args:
        curve: Rows of ``accuracy_vs_bias``.
        metric: What is measured.
        rule: The selection rule.

    Returns:
        The sentences.

    Example:
        >>> line = {"sweep": "s", "dataset": "d", "label": "lnl", "facet": "", "rule": "val_biased", "n_seeds": 5}
        >>> curve = pd.DataFrame({**line, "bias_value": [0.5, 1.0], "mean": [0.9, 0.8]})
        >>> curve_summary(curve, "accuracy", "val_biased")
        'Accuracy from weak to strong bias, chosen by biased validation. lnl: 0.90 at 0.5, 0.80 at 1.'
    """
    parts = []
    rows = curve[(curve["rule"] == rule) & (curve["n_seeds"] > 0)]
    named = [name for name in ("dataset", "sweep") if curve[name].nunique() > 1]
    for (_, _, label, facet), line in rows.groupby(["sweep", "dataset", "label", "facet"], sort=False):
        means = ", ".join(f"{m:.2f} at {v:g}" for m, v in zip(line["mean"], line["bias_value"], strict=True))
        more = ", ".join(part for part in (str(facet), *(str(line[name].iloc[0]) for name in named)) if part)
        parts.append(f"{label}{f' ({more})' if more else ''}: {means}")
    return f"{upper_first(metric)} from weak to strong bias, chosen by {rule_name(rule)}. {'; '.join(parts)}."


def signed(interval: Interval) -> str:
    """Write a difference with its sign and interval.

    Args:
        interval: Interval of the difference.

    Returns:
        The text, to three decimals.

    Example:
        >>> signed(Interval(0.042, 0.015, 0.069)), signed(Interval(-0.01, math.nan, math.nan))
        ('+0.042 [+0.015, +0.069]', '-0.010 (no interval)')
    """
    if math.isnan(interval.low):
        return f"{interval.mean:+.3f} (no interval)"
    mean, low, high = (round(value, 3) + 0.0 for value in (interval.mean, interval.low, interval.high))
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def p_text(p: float) -> str:
    """Write a p value, with at most four decimals.

    Args:
        p: The p value, in [0, 1], or NaN.

    Returns:
        The text, without a leading 0.

    Example:
        >>> p_text(0.0123), p_text(0.00001), p_text(1.0), p_text(math.nan)
        ('.0123', '< .0001', '1', 'not computed')
    """
    if math.isnan(p):
        return "not computed"
    return "< .0001" if p < 0.0001 else f"{p:.4f}".rstrip("0").removeprefix("0") if p < 1 else "1"


def _short_training(sweep: Sweep) -> bool:
    epochs = section(sweep.config, "training").get("epochs")
    return isinstance(epochs, int) and epochs < 10


def upper_first(text: str) -> str:
    """Write a text with its first letter in upper case.

    Example:
        >>> upper_first("balanced accuracy")
        'Balanced accuracy'
    """
    # ``str.capitalize`` would write AUROC in lower case.
    return text[:1].upper() + text[1:]
