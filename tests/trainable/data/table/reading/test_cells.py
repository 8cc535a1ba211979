"""Cells of CSV, TSV and Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainable.data.table.reading.cells import read_cells
from trainable.errors import InputError


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> str:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks(tmp_path: Path, delimiter: str, end: str, mark: str) -> None:
    lines = [["path", "label"], ["a.png", "01"], [f'"b{delimiter}1.png"', "x y"]]
    text = mark + end.join(delimiter.join(cells) for cells in lines) + end
    cells = read_cells(written(tmp_path, text))
    assert cells.columns == {"path": ["a.png", f"b{delimiter}1.png"], "label": ["01", "x y"]}
    assert list(cells.lines) == [2, 3]


def test_quoted_newlines_keep_the_line_numbers(tmp_path: Path) -> None:
    cells = read_cells(written(tmp_path, 'path,note\na.png,"one\ntwo\nthree"\n\nb.png,"say ""x"""\n,\n'))
    assert cells.columns == {"path": ["a.png", "b.png"], "note": ["one\ntwo\nthree", 'say "x"']}
    assert list(cells.lines) == [2, 6]


def test_missing_values(tmp_path: Path) -> None:
    cells = read_cells(written(tmp_path, "path,label\na,\nb,NA\nc,nan\nd,none\ne, x \n"))
    # "none" is a name: that of the class without a finding.
    assert cells.columns["label"] == [None, None, None, "none", "x"]


def test_one_of_100_columns(tmp_path: Path) -> None:
    names = [f"c{k}" for k in range(100)]
    text = "\n".join([",".join(names), *(",".join(f"{row}-{k}" for k in range(100)) for row in range(3))])
    assert read_cells(written(tmp_path, text), ["c77"]).columns == {"c77": ["0-77", "1-77", "2-77"]}
    with pytest.raises(InputError, match=r"no column 'd77': did you mean 'c77'\? its columns: c0, c1, .* and 88 more$"):
        read_cells(written(tmp_path, text), ["d77"])


def test_parquet_gives_whole_numbers_without_a_point(tmp_path: Path) -> None:
    table = {"path": ["a", "b", "c"], "y": [1.0, None, 2.0], "flag": [True, False, None], "age": [1.5, float("nan"), 7]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    cells = read_cells(str(tmp_path / "t.parquet"))
    assert cells.columns["y"] == ["1", None, "2"]
    assert cells.columns["flag"] == ["True", "False", None]
    assert cells.columns["age"] == ["1.5", None, "7"]
    assert cells.unit == "row" and list(cells.lines) == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "t.csv is empty"),
        ("\ufeff\n \n", "t.csv is empty"),
        ("path,label\na,b,c\n", "line 2 of t.csv has 3 cells, but the header has 2"),
        ("path,label\n\na\n", "line 3 of t.csv has 1 cells, but the header has 2"),
        ('path,label\na,"b\nc,d\n', "line 2 of t.csv cannot be read as CSV"),
        (b"path,label\na,gr\xfcn\n", "line 2 holds the byte 0xfc: save it as CSV UTF-8"),
        ("path,label\n".encode("utf-16"), "must be text in UTF-8"),
        (b"PAR1 and no more", "cannot be read as Parquet"),
        (b"a\0b", "must be CSV, TSV or Parquet"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_cells(written(tmp_path, content))


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    file = written(tmp_path, "path,y,y\na,1,2\n")
    assert read_cells(file, ["path"]).columns == {"path": ["a"]}
    with pytest.raises(InputError, match="2 columns 'y'"):
        read_cells(file, ["y"])


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no table .*/t\.csv"):
        read_cells(str(tmp_path / "t.csv"))
    with pytest.raises(InputError, match="must be a file, but it is a folder"):
        read_cells(str(tmp_path))
