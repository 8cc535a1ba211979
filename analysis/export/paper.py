"""Parts of a paper about a sweep, ready to include: figures, table, methods paragraph and references."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from analysis.export.methods_paragraph import cited, methods_paragraph
from analysis.export.references import bibliography
from analysis.figures.notes import note_of
from analysis.figures.print import write_curve
from analysis.findings import Findings
from analysis.numbers.captions import table_caption
from analysis.numbers.tables import table_csv, table_of, with_place, with_published
from analysis.writing import out_folder, write_text
from store.errors import InputError
from store.rules import rule_name

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "σ²": r"$\sigma^2$", "→": r"$\to$",
    "<": r"$<$", ">": r"$>$", "λ": r"$\lambda$", "ρ": r"$\rho$", "γ": r"$\gamma$",
}  # fmt: skip
# Longer ones first: "σ²" is one symbol.
_SPECIAL = re.compile("|".join(re.escape(key) for key in sorted(_TEX, key=len, reverse=True)))
_CITATION = re.compile(r"\s*\[(@[^\]]+)\]")


def write_paper(findings: Findings, out: str | os.PathLike[str]) -> list[Path]:
    """Write the files of a paper into a folder.

    They are figures (PDF and SVG, 85 and 180 mm), ``table.tex``, ``table.csv``, ``methods.md``, ``methods.tex`` and
    ``references.bib``.

    Args:
        findings: What ``analysis.findings.gather`` returned.
        out: The folder to write into.

    Returns:
        The files.

    Raises:
        InputError: No confirm trial has finished, or ``out`` is a file.
    """
    folder = out_folder(out, "paper files")
    if not findings.rules:
        raise InputError("a paper needs confirm trials, but none has finished yet: finish the sweep")
    axis = str(findings.curve["bias_axis"].iloc[0])
    title = str(findings.sweeps[0].axis(axis).get("long_name") or axis)
    note = "; ".join(dict.fromkeys(sweep.note for sweep in findings.sweeps if sweep.note))
    files: list[Path] = []
    for rule in findings.rules:
        above = f"{note}{'; ' if note else ''}chosen by {rule_name(rule)}"
        files += write_curve(findings.curve, rule, folder / f"curve_{rule}", findings.metric, title, above)
    headline = findings.curve[findings.curve["rule"] == findings.headline]
    methods = "\n\n".join(methods_paragraph(findings, sweep) for sweep in findings.sweeps)
    texts = {
        "table.tex": table_tex(findings),
        "table.csv": table_csv(headline),
        "methods.md": methods + "\n",
        "methods.tex": to_tex(methods) + "\n",
        "references.bib": bibliography(cited(findings)),
    }
    return files + [write_text(folder / name, text) for name, text in texts.items()]


def table_tex(findings: Findings) -> str:
    """Write the headline rule's table for LaTeX (package booktabs), one for each data set.

    The best means are not set bold.

    Args:
        findings: What ``analysis.findings.gather`` returned.

    Returns:
        LaTeX source of one ``table`` environment.
    """
    rows = findings.curve[findings.curve["rule"] == findings.headline]
    parts = []
    for (dataset, axis), group in rows.groupby(["dataset", "bias_axis"], sort=False):
        beside = findings.beside[findings.beside["dataset"] == dataset]
        here = findings.here[(findings.here["rule"] == findings.headline) & (findings.here["dataset"] == dataset)]
        table = with_place(table_of(group), group, here)
        parts.append(_tabular(with_published(table, beside, findings.headline), f"{dataset}, {axis}"))
    sources = findings.beside.drop_duplicates("source")
    notes = [f"{row['source']}: {row['note']}." for row in sources.to_dict("records")]
    note = "; ".join(dict.fromkeys(sweep.note for sweep in findings.sweeps if sweep.note)) or note_of(rows["dataset"])
    sentence = table_caption(rows, findings.metric, findings.headline)
    caption = " ".join([sentence, *([f"Note: {note}."] if note else []), *notes])
    body = "\n\\medskip\n\n".join(parts)
    return (
        "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
        f"{body}\n\\caption{{{to_tex(caption)}}}\n\\end{{table}}\n"
    )


def to_tex(text: str) -> str:
    """Write plain text for LaTeX: special characters escaped, Pandoc citations as ``\\cite``.

    Args:
        text: Plain text, with citations as ``[@key]`` or ``[@key; @key]``.

    Returns:
        LaTeX source.

    Example:
        >>> print(to_tex("95 % intervals [@kim2019]"))
        95 \\% intervals~\\cite{kim2019}
    """
    parts, end = [], 0
    for match in _CITATION.finditer(text):
        keys = ",".join(key.strip().removeprefix("@") for key in match[1].split(";"))
        parts += [_escaped(text[end : match.start()]), f"~\\cite{{{keys}}}"]
        end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: _TEX[match[0]], text)


def _tabular(table: pd.DataFrame, corner: str) -> str:
    columns = " & ".join([_escaped(corner), *(_escaped(str(c)) for c in table.columns)])
    lines = [
        " & ".join([_escaped(str(name)), *(_escaped(str(cell)) for cell in cells)]) + r" \\"
        for name, cells in zip(table.index, table.to_numpy(), strict=True)
    ]
    spec = "l" + "r" * len(table.columns)
    return "\n".join(
        [f"\\begin{{tabular}}{{{spec}}}", "\\toprule", f"{columns} \\\\", "\\midrule", *lines, "\\bottomrule",
         "\\end{tabular}"]
    )  # fmt: skip
