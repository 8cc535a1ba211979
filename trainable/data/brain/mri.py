"""Real slices: the brain tumour data set of J. Cheng (figshare article 1512427), prepared once.

The annotations are those of the seed study (G. Peretz 2020, "Biases in Machine Learning Models Using Medical Imaging").
"""

from __future__ import annotations

import dataclasses
import functools

from trainable.data.arrays.cache import cache_folder
from trainable.data.arrays.shared import prepared_arrays
from trainable.data.base import register_dataset
from trainable.data.brain.figshare.prepare import CITATION, FOLDER
from trainable.data.brain.paint import Lengths
from trainable.data.brain.slice_store import FIELD_MM, SliceStore
from trainable.data.brain.tumour_slices import Pituitary, SplitBy, TumourSlices
from trainable.environment import DATA
from trainable.errors import InputError


@register_dataset("brain_mri")
class BrainMRI(TumourSlices):
    """T1 contrast-enhanced slices of 233 patients with three tumour types, annotations painted on them.

    Folds 0 to 4 are the patient-wise folds of ``cvind.mat``.

    Args:
        image_size: Side of the images, 32 to 256 pixels; the stored 256 are shrunk by area.
        lengths: What the painted lengths say: ``physical`` or ``seed``, see ``paint.length_text``.
        split_by: ``patient`` or ``slice``, see ``TumourSlices``.
        pituitary: ``all`` or ``seed``, see ``TumourSlices``.

    Raises:
        InputError: An option outside these values, or the files have not been prepared, or not for this node.
        Unreachable: They lie in a store that does not answer.
    """

    name = "brain_mri"
    long_name = "Brain tumours (MRI)"
    note = ""
    citation = f"{CITATION}; annotations after Peretz 2020"

    def __init__(
        self,
        image_size: int = 256,
        lengths: Lengths = "physical",
        split_by: SplitBy = "patient",
        pituitary: Pituitary = "all",
    ) -> None:
        super().__init__(image_size, lengths, split_by, pituitary)
        # Asked at once, so that a sweep is refused before it starts.
        _ = self.store

    @functools.cached_property
    def store(self) -> SliceStore:
        """The slices at 256 pixels."""
        folder = cache_folder() / FOLDER
        prepared = prepared_arrays(FOLDER)
        if prepared is None:
            raise InputError(
                f"brain_mri is not prepared (nothing in {folder}): run lnl-sweep data prepare brain_mri --from "
                f"1512427.zip, or with --download FOLDER, or set {DATA} to the folder or s3:// address that holds it"
            )
        needed = {field.name for field in dataclasses.fields(SliceStore)} - {"checksum", "field_mm"}
        if set(prepared[0]) != needed:
            raise InputError(
                f"brain_mri in {folder} must hold the arrays {', '.join(sorted(needed))}, but holds "
                f"{', '.join(sorted(prepared[0])) or 'none'}: prepare it again with lnl-sweep data prepare brain_mri"
            )
        return SliceStore.of(*prepared, FIELD_MM)
