"""Journal of the Optuna studies, a file that optuna-dashboard opens.

It is derived from the rows, and can be made again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from orchestrator.process.temporary import TemporaryFolder
from store.folder import Folder

FOLDER, FILE = "optuna", "journal.log"


def write_journal(folder: Folder, studies: Iterable[optuna.Study]) -> None:
    """Write ``optuna/journal.log`` anew.

    Args:
        folder: The sweep's directory.
        studies: The studies of all cells. Those in which no trial has ended are left out. An open trial is added when
            it has ended: after an interruption it would be shown as running forever.

    Example:
        >>> from store.open import folder_at
        >>> study = optuna.create_study(study_name="cell")
        >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        >>> with TemporaryFolder() as folder:
        ...     write_journal(folder_at(str(folder)), [study])
        ...     (folder / FOLDER / FILE).is_file()
        True
    """
    with TemporaryFolder() as temporary:
        path = temporary / FILE
        storage = JournalStorage(JournalFileBackend(str(path)))
        for study in studies:
            trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
            if trials:
                copy = optuna.create_study(study_name=study.study_name, storage=storage, directions=study.directions)
                copy.add_trials(trials)
        if path.exists():
            folder.child(FOLDER).write(FILE, path.read_bytes())
