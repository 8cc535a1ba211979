"""CelebA (Liu et al., ICCV 2015, arXiv 1411.7766): blond hair with sex, as Sagawa et al. (ICLR 2020) take them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from orchestrator.proposal.published.data import PARTS, Published, code, complete, find_file, find_root
from store.errors import InputError
from trainable.data.table.reading.cells import Cells, missing_column, read_cells

_HAIR = {"-1": "not_blond", "1": "blond"}
_SEX = {"-1": "female", "1": "male"}
_IMAGE = "image_id"


def celeba(folder: Path) -> Published:
    """Read CelebA as published, or as Kaggle has it.

    Args:
        folder: ``list_attr_celeba.txt`` or ``.csv``, ``list_eval_partition.txt`` or ``.csv`` (also in ``Anno/`` and
            ``Eval/``), and the images in ``img_align_celeba/``.

    Returns:
        The data set: class ``hair``, attribute ``sex``, the published split.

    Raises:
        InputError: A file is missing, or is not of this form.
    """
    attributes = find_file(folder, ["list_attr_celeba.txt", "list_attr_celeba.csv"], ["Anno"])
    partition = find_file(folder, ["list_eval_partition.txt", "list_eval_partition.csv"], ["Eval"])
    cells, parts = _attributes(attributes), _parts(partition)
    rows: list[tuple[str, dict[str, str | None]]] = []
    left_out: Counter[str] = Counter()
    for row, name in enumerate(cells.columns[_IMAGE]):
        if name is None:
            left_out["without a name"] += 1
            continue
        hair, sex = (code(cells, row, *pair) for pair in (("Blond_Hair", _HAIR), ("Male", _SEX)))
        rows.append((name, {"hair": hair, "sex": sex, "split": parts.get(name)}))
    inner = folder / "img_align_celeba"
    root = find_root(attributes, [inner, inner / "img_align_celeba", folder / "Img" / "img_align_celeba"], _names(rows))
    return Published(
        title="CelebA",
        about=(
            "CelebA (Liu et al., ICCV 2015, arXiv 1411.7766): blond hair with sex, as in Sagawa et al., ICLR 2020, "
            "with the published split.",
            "The papers use images of 224 pixels: image_size changes that. The axis ends before 1, where no image is "
            "left to choose by.",
        ),
        rows=complete(attributes, root, rows, left_out),
        left_out=left_out,
        roles={"label": "hair", "attribute": "sex", "split": "split"},
        aligned={"not_blond": "male", "blond": "female"},
        options={"image_size": 128, "fit": "crop"},
        values=(0.5, 0.75, 0.9, 0.98),
    )


def _names(rows: list[tuple[str, dict[str, str | None]]]) -> list[str]:
    return [name for name, _ in rows]


def _attributes(file: Path) -> Cells:
    if file.suffix == ".csv":
        return read_cells(str(file), [_IMAGE, "Blond_Hair", "Male"])
    lines = _lines(file)
    if len(lines) < 2 or not (len(lines[0][1]) == 1 and lines[0][1][0].isdecimal()):
        raise InputError(
            f"{file} must begin with the number of images and a line of names, but does not: take the file as it was "
            "published"
        )
    names, body = lines[1][1], lines[2:]
    for name in ("Blond_Hair", "Male"):
        if name not in names:
            raise missing_column(file.name, name, names)
    for number, words in body:
        if len(words) != len(names) + 1:
            raise InputError(
                f"line {number} of {file} must have a name and {len(names)} numbers, but has {len(words)} words: take "
                "the file as it was published"
            )
    if int(lines[0][1][0]) != len(body):
        raise InputError(
            f"{file} must have {int(lines[0][1][0]):,} images, as its first line says, but has {len(body):,}: copy it "
            "again"
        )
    columns = {name: [words[1 + names.index(name)] for _, words in body] for name in ("Blond_Hair", "Male")}
    columns[_IMAGE] = [words[0] for _, words in body]
    return Cells(str(file), file.name, (_IMAGE, *names), columns, [number for number, _ in body], "line")


def _parts(file: Path) -> dict[str, str | None]:
    if file.suffix == ".csv":
        cells = read_cells(str(file), [_IMAGE, "partition"])
    else:
        lines = _lines(file)
        for number, words in lines:
            if len(words) != 2:
                raise InputError(
                    f"line {number} of {file} must have a name and a number, but has {len(words)} words: take the file "
                    "as it was published"
                )
        columns = {_IMAGE: [words[0] for _, words in lines], "partition": [words[1] for _, words in lines]}
        cells = Cells(str(file), file.name, tuple(columns), columns, [number for number, _ in lines], "line")
    return {str(name): code(cells, row, "partition", PARTS) for row, name in enumerate(cells.columns[_IMAGE])}


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    """Words of each line that has any, with its number from 1."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} must be text, but is not ({error.reason}): take the file as it was published"
        ) from error
    return [(number, words) for number, line in enumerate(text.splitlines(), 1) if (words := line.split())]
