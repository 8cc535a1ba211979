"""Writes folders of Waterbirds, CelebA and CheXpert in the form in which they are published, odd rows included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
ATTRIBUTES = ("5_o_Clock_Shadow", "Arched_Eyebrows", "Black_Hair", "Blond_Hair", "Male", "Young")
"""Six of the forty of CelebA, in their order."""


def write_image(path: Path, number: int, label: int, attribute: int, side: tuple[int, int] = (40, 32)) -> None:
    """Write a JPEG: the class is a dark disc, the attribute a bright edge; no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: side[0], : side[1]]
    image = np.repeat(rng.integers(90, 150, (*side, 1)), 3, axis=2)
    if label:
        image[(rows - 20) ** 2 + (columns - 16) ** 2 < 60] = 20
    if attribute:
        image[:4] = 230
    Image.fromarray(image.astype(np.uint8)).save(path, quality=95)


def write_waterbirds(folder: Path, n: int = 240) -> Path:
    """``metadata.csv`` with CRLF and the images in folders of their species."""
    rng = np.random.default_rng(1)
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for i in range(n):
        y, split = i % 2, (0, 0, 0, 0, 1, 2)[i // 2 % 6]
        place = y if rng.random() < (0.8 if split == 0 else 0.5) else 1 - y
        name = f"{i % 4:03}.Species_{y}/Species_{i:04}.jpg"
        write_image(folder / name, i, y, place)
        lines.append(f"{i + 1},{name},{y},{split},{place},/o/ocean/{i:08}.jpg")
    (folder / "metadata.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    return folder


def write_celeba(folder: Path, n: int = 240, form: str = "txt") -> Path:
    """``txt``: as published, names in white space of any width; ``csv``: as Kaggle has it, with its nested folder."""
    rng = np.random.default_rng(2)
    images = folder / "img_align_celeba" / ("img_align_celeba" if form == "csv" else "")
    rows, parts = [], []
    for i in range(n):
        blond = i % 2
        male = 1 - blond if rng.random() < 0.8 else blond
        name = f"{i + 1:06}.jpg"
        write_image(images / name, i, blond, male)
        values = {"Blond_Hair": 2 * blond - 1, "Male": 2 * male - 1}
        rows.append([name, *(str(values.get(one, -1)) for one in ATTRIBUTES)])
        parts.append([name, str((0, 0, 0, 0, 1, 2)[i // 2 % 6])])
    if form == "csv":
        texts = {
            "list_attr_celeba.csv": [["image_id", *ATTRIBUTES], *rows],
            "list_eval_partition.csv": [["image_id", "partition"], *parts],
        }
        for name, lines in texts.items():
            (folder / name).write_text("\n".join(map(",".join, lines)) + "\n")
        return folder
    body = [row[0] + "".join(f"{value:>3}" for value in row[1:]) for row in rows]
    text = "\n".join([str(n), " ".join(ATTRIBUTES) + " ", *body, ""])
    (folder / "list_attr_celeba.txt").write_text(text)
    (folder / "list_eval_partition.txt").write_text("\n".join(map(" ".join, parts)) + "\n")
    return folder


def chexpert_row(path: str, sex: str, finding: str, view: str = "Frontal", age: int = 60) -> str:
    """A line of ``train.csv``; other findings are blank or uncertain."""
    projection = "AP" if view == "Frontal" else ""
    return f"{path},{sex},{age},{view},{projection},,,1.0,-1.0,,,,0.0,,,{finding},,,1.0"


def write_chexpert(folder: Path, patients: int = 150, root: str = "CheXpert-v1.0-small") -> Path:
    """``train.csv`` and ``valid.csv`` in ``folder``, whose paths begin with ``root``.

    Of each patient there are one or two frontal images, and a lateral one of some. Every tenth label is uncertain,
    every tenth blank.
    """
    rng = np.random.default_rng(3)
    number = 0
    for part, first, n in (("train", 1, patients), ("valid", 64541, 6)):
        lines = [CHEXPERT_HEADER]
        for patient in range(first, first + n):
            effusion = patient % 2
            male = effusion if rng.random() < 0.65 else 1 - effusion
            for view in range(1, 2 + (patient % 3 == 0)):
                number += 1
                path = f"{part}/patient{patient:05}/study1/view{view}_frontal.jpg"
                write_image(folder / path, number, effusion, male)
                odd = {8: "-1.0", 9: ""} if part == "train" else {}
                finding = odd.get(patient % 10, f"{effusion}.0")
                lines.append(chexpert_row(f"{root}/{path}", ("Female", "Male")[male], finding))
            if patient % 5 == 0:
                number += 1
                path = f"{part}/patient{patient:05}/study1/view3_lateral.jpg"
                write_image(folder / path, number, effusion, male)
                lines.append(chexpert_row(f"{root}/{path}", ("Female", "Male")[male], f"{effusion}.0", "Lateral"))
        if part == "train":
            lines.append(chexpert_row(f"{root}/train/patient00001/study2/view1_frontal.jpg", "Unknown", "1.0", age=0))
            lines.append(chexpert_row(f"{root}/train/patient00002/study9/view1_frontal.jpg", "Female", "0.0"))
        (folder / f"{part}.csv").write_text("\n".join([*lines, ""]))
    return folder
