"""Plain training on counterfactual images: the annotation is painted, or not, whatever the class.

Where a renderer of the bias exists, the honest best case: a share of the training images takes its annotation from a
fair coin instead of from the biased law, so that on them the annotation tells nothing of the class. At full bias it is
alive where methods that re-weight the training images have nothing to work on.
"""

from __future__ import annotations

from trainable.methods.base import Range, register_method
from trainable.methods.erm import erm

register_method(
    "repaint",
    long_name="Repainted training images",
    reference="counterfactual painting with p = .5",
    space={"repaint_share": Range(0.25, 1.0, least=0.0, most=1.0)},
    defaults={"repaint_share": 1.0},
    training_draw="repainted",
)(erm)
