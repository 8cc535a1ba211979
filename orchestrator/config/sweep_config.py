"""Pydantic models of the sweep file, in which every field has a default, a range and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from orchestrator.config.loggers import LoggingConfig
from orchestrator.config.name_rule import NAME_SCHEMA, Name
from orchestrator.config.number_types import Bound, Real, Whole
from orchestrator.config.primary import PrimaryConfig
from orchestrator.config.resources import MethodResources, ResourcesConfig
from store.rules import Rule
from trainable.spec import Draw, Metric, Training

Sampler = Literal["auto", "tpe", "random", "qmc", "gp"]
BiasValues = dict[str, list[Real]] | list[dict[str, Real]]
# As they may be written; what validators make of it is the type above.
_WrittenBias = dict[str, Real | list[Real]] | list[dict[str, Real]]


def _lists_of_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: entry if isinstance(entry, (list, tuple)) else [entry] for key, entry in value.items()}
    return value


def _some_values(value: BiasValues) -> BiasValues:
    if not value or (isinstance(value, dict) and not all(value.values())):
        raise ValueError(f"needs at least one bias value, bias: {{NAME: [VALUE, ...]}}, but got {value}")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DatasetConfig(BaseModel):
    """The data set, and the grid of bias strengths.

    Further keys are options of the data set.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Registered name; `lnl-sweep data list` shows all.")
    bias: BiasValues = Field(
        description="Values of each bias parameter (several parameters: their product), or a list of maps: "
        "exactly those points. Of the data set's parameters the first that varies is the x axis.",
    )

    folds: Literal["all"] | list[Whole] | None = Field(
        None,
        description="Folds whose patients are tested in turn, each with its own search; their predictions are pooled. "
        "Default: one fixed split.",
    )

    @field_validator("bias", mode="before", json_schema_input_type=_WrittenBias)
    @classmethod
    def _scalars_are_lists(cls, value: Any) -> Any:
        return _lists_of_values(value)

    @field_validator("folds")
    @classmethod
    def _folds_differ(cls, value: Any) -> Any:
        if isinstance(value, list) and (not value or len(set(value)) < len(value)):
            raise ValueError(f"must be all, or different numbers of folds such as [0, 1], but got {value}")
        return value

    @field_validator("bias")
    @classmethod
    def _not_empty(cls, value: BiasValues) -> BiasValues:
        return _some_values(value)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the data set itself."""
        return dict(self.model_extra or {})


class NetworkConfig(BaseModel):
    """The network.

    Further keys are options of the network (``split_at``, ``weights`` ...).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(
        "", description="A registered network, or any torchvision classifier; default: the data set's own."
    )

    @property
    def options(self) -> dict[str, Any]:
        """Options of the network itself."""
        return dict(self.model_extra or {})


class SpaceEntry(_Strict):
    """Searched values of one hyperparameter, in exactly one of four forms."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    log: tuple[Bound, Bound] | None = Field(None, description="[low, high], uniform in the logarithm; low > 0.")
    uniform: tuple[Bound, Bound] | None = Field(None, description="[low, high], uniform.")
    integer: tuple[Whole, Whole] | None = Field(
        None, alias="int", description="[low, high], whole numbers, both ends included."
    )
    choice: list[Any] | None = Field(None, description="The values to choose from.")

    @model_validator(mode="after")
    def _one_form(self) -> SpaceEntry:
        forms = [name for name in ("log", "uniform", "integer", "choice") if getattr(self, name) is not None]
        if len(forms) != 1:
            raise ValueError(f"needs exactly one of log, uniform, int, choice, but got {forms or 'none'}")
        return self

    @model_serializer(mode="wrap")
    def _that_form_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class MethodConfig(_Strict):
    """One method of the sweep.

    ``erm`` alone is short for ``{name: erm}``.
    """

    name: str = Field(description="Registered name.")
    label: Name = Field(
        "",
        json_schema_extra=NAME_SCHEMA,
        description="Tells two variants of one method apart; the name by default.",
    )
    space: dict[str, SpaceEntry] = Field(
        default_factory=dict, description="What is searched where, instead of the method's own ranges."
    )
    fixed: dict[str, Any] = Field(default_factory=dict, description="Hyperparameters that are not searched.")
    like: str | None = Field(
        None,
        description="Label of another method: no search of its own, but what that method's search chose in the same "
        "cell, under each rule; `fixed` goes before it.",
    )
    draw: Draw | None = Field(
        None,
        description="natural = each training image once an epoch; balanced = as many, drawn anew for each epoch so "
        "that every group (class, bias attribute) has the same number. Default: natural.",
    )
    bias: BiasValues | None = Field(
        None, description="Only at these of the sweep's bias values (a control, say); default: at all of them."
    )
    resources: MethodResources | None = Field(
        None, description="What a trial of this method gets; a key that is left out is that of the sweep's resources."
    )

    @field_validator("bias", mode="before", json_schema_input_type=_WrittenBias | None)
    @classmethod
    def _scalars_are_lists(cls, value: Any) -> Any:
        return _lists_of_values(value)

    @field_validator("draw")
    @classmethod
    def _natural_says_nothing(cls, value: Draw | None) -> Draw | None:
        # A sheet of an earlier version says nothing of it.
        return None if value == "natural" else value

    @model_validator(mode="before")
    @classmethod
    def _a_balanced_method_is_another(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("draw") == "balanced" and not value.get("label"):
            return {**value, "label": f"{value.get('name')}_balanced"}
        return value

    @field_validator("bias")
    @classmethod
    def _not_empty(cls, value: BiasValues | None) -> BiasValues | None:
        return value if value is None else _some_values(value)


_WrittenMethods = Annotated[list[str | MethodConfig], Field(min_length=1)]


class EarlyStopping(_Strict):
    """Asynchronous successive halving within each cell (Li et al. 2018, arXiv 1810.05934)."""

    min_epochs: Whole = Field(
        ge=1, description="No trial is stopped before; beyond the ramp of the adversarial weights."
    )
    reduction_factor: Whole = Field(3, ge=2, description="One trial in this many goes on at each rung.")


class SearchConfig(_Strict):
    """Search for hyperparameters in each cell, which never sees test data."""

    trials: Whole = Field(8, ge=1, le=100_000, description="Search trials of each cell, the anchor included.")
    seeds: Whole = Field(
        1, ge=1, le=1000, description="Search seeds of each candidate; its value is the mean over them."
    )
    sampler: Sampler = Field("auto", description="auto = qmc under 25 trials, else tpe.")
    rule: Rule | None = Field(
        None,
        description="What the search and the early stopping follow; default: val_counterfactual where a renderer "
        "exists, else val_reweighted.",
    )
    early_stopping: EarlyStopping | Literal["auto", "off"] = Field(
        "auto", description="auto = off below 10 epochs, else from 1.3 x ramp x epochs on."
    )

    per_rule: bool = Field(
        False, description="A search of its own for each of confirm.rules; else all choose from the search's trials."
    )
    repeats: Whole = Field(
        1, ge=1, le=1000, description="Repetitions of search and confirmation, each with fresh seeds."
    )
    neighbours: bool = Field(
        False,
        description="Also try the best hyperparameters found so far at the neighbouring bias values; off, since it was "
        "measured to pay little with tpe and to cost with qmc.",
    )

    @field_validator(
        "early_stopping", mode="before", json_schema_input_type=Literal["auto", "off", False] | EarlyStopping
    )
    @classmethod
    def _yaml_off_is_false(cls, value: Any) -> Any:
        return "off" if value is False else value


class RuleSeeds(_Strict):
    """A selection rule with its own number of seeds."""

    rule: Rule = Field(description="The selection rule.")
    seeds: Whole = Field(ge=1, le=1000, description="Confirm seeds for what this rule chose.")


class ConfirmConfig(_Strict):
    """Training of the selected hyperparameters from scratch with fresh seeds, and evaluation on test data."""

    seeds: Whole = Field(5, ge=1, le=1000, description="Fresh seeds of each selected configuration.")
    splits: Whole = Field(
        1,
        ge=1,
        le=1000,
        description="1 = each seed draws its own train / validation split; more = so many splits, `seeds` in each.",
    )
    rules: list[Rule | RuleSeeds] = Field(
        default_factory=list, description="Selection rules whose choice is confirmed; default: the search's rule."
    )
    keep_models: bool = Field(True, description="Keep the weights of confirm trials in models/.")

    @field_validator("rules")
    @classmethod
    def _rules_differ(cls, value: list[Rule | RuleSeeds]) -> list[Rule | RuleSeeds]:
        names = [entry.rule if isinstance(entry, RuleSeeds) else entry for entry in value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"every rule stands once, but '{twice[0]}' stands twice: remove one")
        return value

    def places(self) -> list[int | None]:
        """Index of each split, or a single None where each seed has its own split."""
        return [None] if self.splits == 1 else list(range(self.splits))

    def seeds_of(self) -> dict[Rule, int]:
        """Number of confirm seeds (in each split) for each rule, in the file's order."""
        return {
            entry.rule if isinstance(entry, RuleSeeds) else entry: entry.seeds
            if isinstance(entry, RuleSeeds)
            else self.seeds
            for entry in self.rules
        }


class TrainingConfig(_Strict):
    """Training of every trial, the same for all methods."""

    epochs: Whole = Field(20, ge=1, le=100_000, description="Epochs, a method's pretrain_epochs included.")
    batch_size: Whole = Field(128, ge=2, le=1_000_000, description="Images a step.")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="adam, or sgd with momentum 0.9.")
    schedule: Literal["cosine", "constant", "step"] = Field("cosine", description="Learning rate over the steps.")
    clip_norm: Real | None = Field(1.0, gt=0, description="Largest gradient norm, over f, g and over h apart.")
    ramp: Real = Field(0.3, ge=0, le=1, description="Share of the steps over which the adversarial weights rise.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 = autocast.")
    class_weights: Literal["none", "balanced"] = Field("none", description="Weights in the label loss.")
    augmentation: list[str] = Field(default_factory=list, description="Names of augmentations.")
    epoch: Literal["last", "best"] = Field("last", description="Which epoch is reported.")
    evaluation: Literal["eval", "train"] = Field(
        "eval", description="train = BatchNorm takes the evaluated batch's own statistics, as the seed study did."
    )

    def of_a_trial(self) -> Training:
        """The same values, as a trial's specification has them."""
        return Training(**{**self.model_dump(), "augmentation": tuple(self.augmentation)})


class PluginConfig(_Strict):
    """A plug-in as ``sweep.yaml`` in a sweep's folder names it.

    Its source lies in ``plugins/`` beside it.
    """

    name: str = Field(pattern=r"^[^\W\d][\w.]*$", description="Name of its module.")
    kind: Literal["file", "package", "module"] = Field(description="A file, a package, or an installed module.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Digest of its source.")
    origin: str = Field(description="Path that it was read from.")


class LimitsConfig(_Strict):
    """Bounds on time and money."""

    trial_minutes: Real | None = Field(
        None, gt=0, description="A trial that takes longer, once its data are ready, is ended as failed."
    )
    max_hours: Real | None = Field(None, gt=0, description="The sweep stops issuing trials after this time.")
    max_cost: Real | None = Field(
        None, gt=0, description="The sweep stops issuing trials once it has cost this much, by the table of prices."
    )
    checkpoint_seconds: Real = Field(60, ge=0, description="Seconds between the checkpoints of a trial.")


class SweepConfig(_Strict):
    """Sweep: data set, grid of bias strengths, network, methods, search and confirmation.

    Example:
        >>> bias = {"rho": [0.0, 1.0]}
        >>> config = SweepConfig(dataset={"name": "brain_phantom", "bias": bias}, methods=["erm", "lnl"])
        >>> [method.name for method in config.methods], config.confirm.seeds
        (['erm', 'lnl'], 5)
    """

    name: Name = Field("", json_schema_extra=NAME_SCHEMA, description="Name of the sweep; the data set's by default.")
    seed: Whole = Field(0, ge=0, description="Everything random in the sweep derives from it.")
    plugins: list[str | PluginConfig] = Field(
        default_factory=list,
        description="Own data sets, methods and networks: .py files and folders that are packages, relative to this "
        "file, or names of installed modules.",
    )
    dataset: DatasetConfig = Field(description="The data set and the grid of bias strengths.")
    network: NetworkConfig = Field(default_factory=lambda: NetworkConfig(name=""), description="The network.")
    methods: list[MethodConfig] = Field(min_length=1, description="The methods that are compared.")
    metric: Metric | None = Field(
        None, description="One per sweep; default accuracy, balanced_accuracy where the largest class holds over 60 %."
    )
    search: SearchConfig = Field(default_factory=lambda: SearchConfig(), description="The search.")
    confirm: ConfirmConfig = Field(default_factory=lambda: ConfirmConfig(), description="The confirmation.")
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig(), description="The training.")
    resources: ResourcesConfig = Field(default_factory=lambda: ResourcesConfig(), description="What one trial gets.")
    limits: LimitsConfig = Field(default_factory=lambda: LimitsConfig(), description="Bounds on time and money.")
    logging: LoggingConfig = Field(
        default_factory=lambda: LoggingConfig(), description="Loggers that are told of every trial; default: none."
    )
    primary: PrimaryConfig | None = Field(None, description="The one comparison that is tested.")

    @field_validator("methods", mode="before", json_schema_input_type=_WrittenMethods)
    @classmethod
    def _names_are_methods(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in value]
        return value

    @field_validator("network", mode="before", json_schema_input_type=str | NetworkConfig)
    @classmethod
    def _name_is_network(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _labels_differ(self) -> SweepConfig:
        labels = [method.label or method.name for method in self.methods]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"methods must have different labels, but '{twice[0]}' stands twice: give one a label")
        if self.primary and len(set(self.primary.compare)) == 1:
            raise ValueError(f"primary.compare needs two different labels, but got {list(self.primary.compare)}")
        if self.primary:
            for label in self.primary.compare:
                if label not in labels:
                    raise ValueError(f"primary.compare names '{label}', which is not among the methods {labels}")
        return self

    def resources_of(self, label: str) -> ResourcesConfig:
        """Resources of a method's trials: its own, completed by those of the sweep."""
        resources = next((m.resources for m in self.methods if (m.label or m.name) == label), None)
        return self.resources if resources is None else resources.completed_by(self.resources)
