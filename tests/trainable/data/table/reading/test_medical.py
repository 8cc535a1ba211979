"""DICOM and NIfTI slices, written and read by their own packages."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainable.data.table.images import read_pixels
from trainable.errors import InputError

STORED = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100


def dicom(pixels: np.ndarray[Any, Any] = STORED, **changes: Any) -> bytes:
    pydicom = pytest.importorskip(
        "pydicom", reason="pydicom, an optional package that the dev extra brings, is not installed"
    )
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    image.SOPClassUID, image.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    image.Rows, image.Columns = pixels.shape[-2:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = pixels.tobytes()
    if pixels.ndim == 3:
        image.NumberOfFrames = len(pixels)
    for name, value in changes.items():
        setattr(image, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()


def test_dicom_is_rescaled_and_known_without_an_ending() -> None:
    data = dicom(RescaleSlope="2", RescaleIntercept="-1024")
    assert (read_pixels(data, "/a/IM0001") == STORED * 2.0 - 1024).all()
    assert read_pixels(data, "/a/x.dcm").dtype == np.float32


def test_monochrome1_is_inverted_within_its_bits() -> None:
    assert (read_pixels(dicom(PhotometricInterpretation="MONOCHROME1"), "a.dcm") == 4095.0 - STORED).all()


def test_the_first_frame_of_several() -> None:
    assert (read_pixels(dicom(np.stack([STORED, STORED + 1])), "a.dcm") == STORED).all()


def test_a_torn_dicom_file() -> None:
    with pytest.raises(InputError, match=r"^a\.dcm cannot be read by pydicom \("):
        read_pixels(dicom()[:-10], "a.dcm")
    with pytest.raises(InputError, match=r"^a\.dcm cannot be read by pydicom \("):
        read_pixels(b"no picture at all", "a.dcm")


def nifti(tmp_path: Path, name: str = "v.nii.gz", affine: Any = None, shape: tuple[int, ...] = (4, 3, 5)) -> bytes:
    nibabel = pytest.importorskip(
        "nibabel", reason="nibabel, an optional package that the dev extra brings, is not installed"
    )
    volume = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine), tmp_path / name)
    return (tmp_path / name).read_bytes()


def test_slices_of_a_volume(tmp_path: Path) -> None:
    volume = np.arange(60).reshape(4, 3, 5)
    for name in ("v.nii.gz", "v.nii"):
        data = nifti(tmp_path, name)
        # The front (high y) at the top, columns along x.
        assert (read_pixels(data, f"/a/{name}#z=4") == volume[:, :, 4].T[::-1]).all()
        assert (read_pixels(data, f"/a/{name}") == volume[:, :, 2].T[::-1]).all()
    with pytest.raises(InputError, match=r"has the slices 0 to 4, but its path names z=5"):
        read_pixels(data, "/a/v.nii#z=5")


def test_orientation_and_time_of_a_volume(tmp_path: Path) -> None:
    volume = np.arange(60).reshape(4, 3, 5)
    flipped = read_pixels(nifti(tmp_path, affine=np.diag([-1, 1, 1, 1])), "v.nii.gz#z=0")
    assert (flipped == volume[::-1, :, 0].T[::-1]).all()
    series = read_pixels(nifti(tmp_path, shape=(4, 3, 5, 2)), "v.nii.gz#z=1")
    assert (series == np.arange(120).reshape(4, 3, 5, 2)[:, :, 1, 0].T[::-1]).all()


def test_an_odd_header_prints_nothing(tmp_path: Path) -> None:
    """In a process of its own: pytest's handlers would take what else goes to the standard error."""
    data = bytearray(nifti(tmp_path, "v.nii"))
    data[70:72] = (32767).to_bytes(2, "little")
    (tmp_path / "v.nii").write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from trainable.data.table.images import read_pixels\n"
        "try:\n    read_pixels(Path(sys.argv[1]).read_bytes(), 'v.nii')\n"
        "except ValueError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "v.nii"], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.startswith("v.nii cannot be read by nibabel ("), done
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(("package", "name"), [("pydicom", "a.dcm"), ("nibabel", "a.nii.gz")])
def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"needs {package}: pip install {package}$"):
        read_pixels(b"x", name)
