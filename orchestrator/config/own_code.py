"""A sweep's own code and files: plug-ins are loaded, and paths are made absolute, before anything else is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.config.sweep_config import PluginConfig, SweepConfig
from store.errors import InputError
from store.folder import Folder, LocalFolder
from store.local import exists, expanded
from trainable.plugins import Plugin, load_plugins, loaded_plugins, read_plugin
from trainable.plugins.reading import OURS
from trainable.plugins.stored import Reference, load_stored, note_run
from trainable.registry import Registry


def settled(config: SweepConfig, base: Path, trust: bool = False) -> SweepConfig:
    """Load the plug-ins of a sweep, and make its paths absolute.

    A configuration that is settled already stays as it is.

    Args:
        config: The configuration as read.
        base: Folder in which relative paths begin, and in whose ``plugins/`` lie those of a ``sweep.yaml``.
        trust: True = run the code of a ``sweep.yaml`` from somebody else.

    Returns:
        The configuration in which every plug-in has its checksum, those included that an option names by
        ``file.py:name``, and declared options hold absolute paths.

    Raises:
        InputError: A plug-in cannot be read or imported, or may not run here.

    Example:
        >>> import tempfile
        >>> from orchestrator.config.sweep_file import parse_config
        >>> text = "{plugins: [xray.py], dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "xray.py").write_text("SIDE = 224")
        ...     config = settled(parse_config(text), Path(folder))
        >>> config.plugins[0].name, config.plugins[0].sha256[:8]
        ('xray', 'c14e9b86')
    """
    plugins = {plugin.name: plugin for plugin in _of_sheet(config, LocalFolder(base), trust)}
    named: dict[str, Plugin] = {}
    _add(named, [read_plugin(entry, base) for entry in config.plugins if isinstance(entry, str)])
    # A file that is given goes before the one that the sheet names.
    plugins |= named
    load_plugins(list(plugins.values()))
    sections: dict[str, Any] = {}
    for section, registry in _sections().items():
        chosen = getattr(config, section)
        code = _code(registry, chosen.name, chosen.options, base, plugins)
        options = absolute_paths(registry, chosen.name, {**chosen.options, **code}, base)
        if options != chosen.options:
            sections[section] = type(chosen).model_validate({**chosen.model_dump(), **options})
    _add(plugins, _installed(config))
    load_plugins(list(plugins.values()))
    note_run(plugins.values())
    references = [PluginConfig(**asdict(Reference.of(plugin))) for plugin in plugins.values()]
    if not sections and references == config.plugins:
        return config
    return config.model_copy(update={**sections, "plugins": references})


def plugins_of(config: SweepConfig) -> list[Plugin]:
    """Plug-ins of a settled configuration, with their content."""
    loaded = {plugin.sha256: plugin for plugin in loaded_plugins()}
    return [loaded[entry.sha256] for entry in config.plugins if isinstance(entry, PluginConfig)]


def references_in(config: SweepConfig) -> list[Reference]:
    """Plug-ins that a configuration names by their checksums, as ``sweep.yaml`` does."""
    return [Reference(**entry.model_dump()) for entry in config.plugins if isinstance(entry, PluginConfig)]


def load_of_directory(config: SweepConfig, folder: Folder, trust: bool) -> SweepConfig:
    """Load the plug-ins of a sweep's directory, to resume it.

    A file that has changed at its origin since goes before the stored one: whether it may is decided with all else
    that has changed.

    Args:
        config: Configuration of the directory.
        folder: The directory.
        trust: True = run them whoever wrote them.

    Returns:
        The configuration with the checksums of what was loaded.

    Raises:
        InputError: One is missing or damaged, cannot be imported, or may not run here.
    """
    chosen = load_stored(folder, references_in(config), trust, own=True)
    references = [PluginConfig(**asdict(Reference.of(plugin))) for plugin in chosen]
    rest = [entry for entry in config.plugins if isinstance(entry, str)]
    return config.model_copy(update={"plugins": [*references, *rest]})


def check_named_code(config: SweepConfig, uri: str) -> None:
    """Refuse a sheet that names code by its path, as one that a sweep wrote never does.

    Such code would run whoever wrote it: the files in ``plugins/`` alone are compared with what may run here.
    Plug-ins of the sheet that may run must be loaded before, since they tell which of their options name code.

    Args:
        config: Configuration as the sheet of a directory has it, without what this command changes.
        uri: Address of the directory, for the message.

    Raises:
        InputError: A plug-in, or an option that names code, is none of those that the sheet has by checksum.

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> text = "{plugins: [xray.py], dataset: {name: brain_phantom, bias: {rho: 1}}, methods: [erm]}"
        >>> check_named_code(parse_config(text), "results/xray")
        Traceback (most recent call last):
            ...
        store.errors.InputError: sweep.yaml of results/xray must name its code by checksum, but names xray.py: ...
    """
    names = {plugin.name for plugin in references_in(config)}
    files = {f"{plugin.name}.py" for plugin in references_in(config) if plugin.kind == "file"}
    named = [entry for entry in config.plugins if isinstance(entry, str)]
    for section, registry in _sections().items():
        chosen = getattr(config, section)
        for option in registry.code(chosen.name):
            place, separator, _ = str(chosen.options.get(option)).rpartition(":")
            known = place in files or place in names or place.partition(".")[0] in {*names, *OURS}
            if separator and not known:
                named.append(place)
    if named:
        raise InputError(
            f"sweep.yaml of {uri} must name its code by checksum, but names {', '.join(named)}: restore it from a "
            "copy, or look at what the code does, then allow it with --trust-plugins"
        )


def absolute_paths(registry: Registry[Any], name: str, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Options in which those that are declared as files are absolute paths.

    Args:
        registry: Registry of the data sets or of the networks.
        name: A registered name, or another one.
        options: Its options.
        base: Folder in which relative paths begin.

    Example:
        >>> from trainable.networks.base import NETWORKS
        >>> absolute_paths(NETWORKS, "resnet18", {"weights": "x.pt", "split_at": "layer2"}, Path("/lab"))
        {'weights': '/lab/x.pt', 'split_at': 'layer2'}
    """
    from trainable.trial.provenance import declared_paths

    absolute = {}
    for option in declared_paths(registry, name, options):
        text = options[option]
        absolute[option] = str(expanded(text) if text.startswith("~") else base / text)
    return {**options, **absolute}


def dataset_paths(config: SweepConfig) -> dict[str, str]:
    """Declared files and folders of a settled configuration's data set, by dotted key."""
    from trainable.data.base import DATASETS
    from trainable.trial.provenance import declared_paths

    paths = declared_paths(DATASETS, config.dataset.name, config.dataset.options)
    return {f"dataset.{option}": str(path) for option, path in paths.items()}


def missing_files(config: SweepConfig) -> dict[str, Path]:
    """Declared files of a settled configuration that are not there, by dotted key."""
    from trainable.trial.provenance import declared_paths

    missing = {}
    for section, registry in _sections().items():
        chosen = getattr(config, section)
        for option, path in declared_paths(registry, chosen.name, chosen.options).items():
            if not exists(path):
                missing[f"{section}.{option}"] = path
    return missing


def check_files(config: SweepConfig, resumed: str | None = None) -> None:
    r"""Refuse a sweep whose declared files are not there.

    Args:
        config: The settled configuration.
        resumed: Address of the sweep's directory where it is resumed.

    Raises:
        InputError: A file is missing.

    Example:
        >>> from orchestrator.config.sweep_file import parse_config
        >>> text = "dataset: {name: brain_phantom, bias: {rho: 1}}\nmethods: [erm]\n"
        >>> text += "network: {name: resnet18, weights: /x.pt}"
        >>> check_files(parse_config(text))
        Traceback (most recent call last):
            ...
        store.errors.InputError: there is no network.weights /x.pt: put it there, or correct the path, which ...
    """
    missing = missing_files(config)
    if not missing:
        return
    named = " and no ".join(f"{key} {path}" for key, path in missing.items())
    it = "them" if len(missing) > 1 else "it"
    if resumed is not None:
        options = " ".join(f"--set {key}=NEW_PATH" for key in missing)
        raise InputError(
            f"there is no {named}: put {it} back, or where {'they have' if len(missing) > 1 else 'it has'} moved, say "
            f"so: lnl-sweep resume {resumed} {options}, beside the options that are given already"
        )
    raise InputError(
        f"there is no {named}: put {it} there, or correct the path, which begins in the sweep file's folder (for train "
        "in the current one) where it is relative"
    )


def files_that_may_move(config: SweepConfig, provenance: Mapping[str, Any]) -> set[str]:
    """Dotted keys of the declared files that may lie elsewhere at a resume, since their contents have checksums.

    Args:
        config: The settled configuration.
        provenance: That of the directory; one of an older version has fewer checksums.
    """
    from trainable.trial.provenance import declared_paths

    checksums = {"dataset": "data_checksum", "network": "weights_checksum"}
    return {
        f"{section}.{option}"
        for section, registry in _sections().items()
        if checksums[section] in provenance
        for option in declared_paths(registry, getattr(config, section).name, getattr(config, section).options)
    }


def _sections() -> dict[str, Registry[Any]]:
    from trainable.data.base import DATASETS
    from trainable.networks.base import NETWORKS

    return {"dataset": DATASETS, "network": NETWORKS}


def _of_sheet(config: SweepConfig, folder: Folder, trust: bool) -> list[Plugin]:
    """Plug-ins that are named by their checksums, loaded where they are not yet."""
    loaded = {plugin.sha256: plugin for plugin in loaded_plugins()}
    references = references_in(config)
    rest = load_stored(folder, [one for one in references if one.sha256 not in loaded], trust)
    known = {plugin.sha256: plugin for plugin in [*loaded.values(), *rest]}
    return [known[one.sha256] for one in references if one.sha256 in known]


def _add(plugins: dict[str, Plugin], more: Iterable[Plugin]) -> None:
    for plugin in more:
        other = plugins.get(plugin.name)
        if other is not None and other.sha256 != plugin.sha256:
            raise InputError(
                f"plug-ins have different names, but {other.origin} and {plugin.origin} are both {plugin.name}: rename "
                "one"
            )
        plugins[plugin.name] = plugin


def _code(
    registry: Registry[Any], name: str, options: Mapping[str, Any], base: Path, plugins: dict[str, Plugin]
) -> dict[str, str]:
    """Options that name code, in which the file of a plug-in stands without its folder."""
    texts = {}
    for option in registry.code(name):
        text = options.get(option)
        place, separator, attribute = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if not separator or place.partition(".")[0] in OURS:
            continue
        file = place.rpartition("/")[2]
        if place.endswith(".py"):
            if file == place and any(plugin.kind == "file" and plugin.file == file for plugin in plugins.values()):
                continue
            texts[option] = f"{file}:{attribute}"
            _add(plugins, [read_plugin(place, base)])
        elif place.partition(".")[0] not in plugins:
            _add(plugins, [read_plugin(place, base)])
    return texts


def _installed(config: SweepConfig) -> list[Plugin]:
    """Modules of installed packages' entry points whose entries the sweep uses: every worker must have them."""
    from trainable.methods.base import METHODS

    sections = _sections()
    used = [(registry, getattr(config, section).name) for section, registry in sections.items()]
    used += [(METHODS, method.name) for method in config.methods]
    modules = [
        registry.module(name)
        for registry, name in used
        if registry.find(name) is not None and registry.origin(name).kind == "entry point"
    ]
    return [read_plugin(module, Path()) for module in dict.fromkeys(modules)]
