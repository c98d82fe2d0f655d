"""Errors that a user can act on.

Each message says what was expected, what came and what to do, and names the file, row, column or key. The flows
print the message alone, without a traceback; any other exception is a defect of dlcycle and keeps its traceback.
"""


class DlcycleError(Exception):
    """Base of every error whose message alone tells the user what to do."""


class ConfigError(DlcycleError):
    """The project file, or a value given on the command line in its place, is not valid."""


class SourceError(DlcycleError):
    """The data source cannot be reached, is not the file that was promised, or must not be opened."""


class DataError(DlcycleError):
    """The rows that were read cannot be used as they are."""


class TrainingError(DlcycleError):
    """Training cannot go on, for example because the loss is no longer a number."""


class InterruptionError(TrainingError):
    """Training was stopped from outside, as when its machine is taken away; the next attempt goes on where it was."""


class ModelFileError(DlcycleError):
    """A saved model is damaged, incomplete or was written by something else."""


class GateError(DlcycleError):
    """A success criterion of the plan was missed and the project asked the run to fail for it."""
