"""Executes the notebooks and stores them beside their sources: ``python tools/run_notebooks.py [NAME...]``.

``analysis/notebooks/*.py`` (jupytext, py:percent) are the sources; the ``.ipynb`` beside each is made here and never
edited. Figures are stored as PNG, which every viewer shows, GitHub included. A user who runs the notebook gets the
interactive ones. Needs the ``dev`` extra and a Chrome or Chromium.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import plotly.graph_objects as go
import plotly.io
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "analysis" / "notebooks"
EXAMPLE = ROOT / "analysis" / "example"
PLOTLY = "application/vnd.plotly.v1+json"
_WIDTH, _SCALE = 1000, 1.3


def sources() -> list[Path]:
    """Sources of the notebooks, in order.

    Example:
        >>> sources()[0].name
        '01_read_a_sweep.py'
    """
    return sorted(NOTEBOOKS.glob("[0-9]*.py"))


def read_source(source: Path, directory: str | None = None) -> Any:
    """Read a source as a notebook without outputs.

    Args:
        source: The ``.py`` file.
        directory: Value of ``DIR`` in the parameters cell; None = left as it is.

    Returns:
        The notebook.

    Example:
        >>> notebook = read_source(sources()[0], directory="results/demo")
        >>> any("DIR = 'results/demo'" in cell.source for cell in notebook.cells)
        True
    """
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        if directory is not None and "parameters" in cell.metadata.get("tags", []):
            cell.source, found = re.subn(r"(?m)^DIR = None\b", f"DIR = {directory!r}", cell.source)
            assert found == 1, source
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: Any, timeout: int = 600) -> Any:
    """Run all cells in a kernel of this interpreter.

    Raises:
        CellExecutionError: A cell fails.
    """
    # The kernel sends figures as plotly's JSON, whatever the caller's environment says: it needs no browser.
    environment = {**os.environ, "PLOTLY_RENDERER": "plotly_mimetype", "PYTHONPATH": str(ROOT)}
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False)
    client.execute(env=environment, cwd=str(NOTEBOOKS))
    return notebook


def example_digest() -> str:
    """Checksum of the example's files, by which a stored notebook names the example that it was executed on.

    Example:
        >>> len(example_digest())
        16
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in EXAMPLE.rglob("*") if path.is_file()):
        digest.update(path.relative_to(EXAMPLE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def draw(notebooks: Sequence[Any]) -> None:
    """Replace the JSON of every figure by a PNG, all of them drawn by one browser."""
    outputs = [
        output
        for notebook in notebooks
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if PLOTLY in output.get("data", {})
    ]
    figures = [go.Figure(output.data[PLOTLY]["data"], output.data[PLOTLY]["layout"]) for output in outputs]
    for figure in figures:
        figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_x=0.02)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.png" for number in range(len(figures))]
        heights = [int(figure.layout.height or 460) for figure in figures]
        plotly.io.write_images(figures, [str(f) for f in files], width=_WIDTH, height=heights, scale=_SCALE)
        for output, figure, file in zip(outputs, figures, files, strict=True):
            title = re.sub("<[^>]+>", " ", figure.layout.title.text or "figure")
            png = base64.b64encode(_smaller(file.read_bytes(), figure)).decode()
            output["data"] = {"image/png": png, "text/plain": f"Figure: {title}"}
            output["metadata"] = {}


def _smaller(png: bytes, figure: go.Figure) -> bytes:
    out = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # Bands that lie over one another have more colours than a palette holds: lines in them would change theirs.
    if not any(trace.type == "scatter" and trace.fill for trace in figure.data):
        picture = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    """Execute and store the notebooks named on the command line, or all."""
    parser = argparse.ArgumentParser(description="Execute analysis/notebooks/*.py and store the .ipynb beside them.")
    parser.add_argument("names", nargs="*", help="notebooks to run, e.g. 02 (default: all)")
    names = parser.parse_args().names
    chosen = [path for path in sources() if not names or any(path.name.startswith(name) for name in names)]
    done = []
    for source in chosen:
        print(f"running {source.name}", flush=True)
        done.append(execute(read_source(source)))
    draw(done)
    for source, notebook in zip(chosen, done, strict=True):
        notebook.metadata["lnl_sweep"] = {"example": example_digest()}
        notebook.metadata.pop("language_info", None)
        target = source.with_suffix(".ipynb")
        nbformat.write(notebook, target)
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
