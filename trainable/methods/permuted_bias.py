"""The control of every adversarial method: lnl with bias labels shuffled over the training images.

h can then learn nothing about an image, and f has nothing to hide from it. The curve must fall like that of ``erm``;
where it does not, the gain of ``lnl`` came from the pressure itself, not from what it was told about the bias.
"""

from __future__ import annotations

from trainable.methods.base import register_method
from trainable.methods.lnl import ANCHOR, DEFAULTS, OPTIONS, SPACE, lnl

register_method(
    "permuted_bias",
    long_name="LNL with shuffled bias labels",
    reference="Control; step of Kim et al. 2019",
    space=SPACE,
    defaults=DEFAULTS,
    adversarial=True,
    anchor=ANCHOR,
    options=OPTIONS,
    bias_labels="permuted",
)(lnl)
