"""What can go wrong, said in one line.

Every error a user can cause is a `BrodmannError` whose message says what was wrong, where, and what to do.
The command line prints the message without a traceback and exits with the class's `exit_code`.
"""


class BrodmannError(Exception):
    """A mistake or a limit that the user can act on; the message is one line."""

    exit_code = 1


class SettingsError(BrodmannError):
    """A setting has a value that cannot work."""


class ModelError(BrodmannError):
    """A model cannot be found, read or trusted."""


class AnatomyError(BrodmannError):
    """A model was opened, but its units cannot be reached exactly."""


class WeightsError(BrodmannError):
    """Weights cannot be read, or no spectrum can be had from their network."""


class PromptError(BrodmannError):
    """Prompts or texts cannot be read or do not fit the model."""


class RecordingError(BrodmannError):
    """A recording cannot be made or does not suit the analysis."""


class StoreError(BrodmannError):
    """A directory cannot be written or read, or holds something else."""


class StudyError(BrodmannError):
    """A study of another package failed."""


class ReportError(BrodmannError):
    """A chapter or a panel of the page cannot be drawn."""


class Incomplete(BrodmannError):
    """Work stopped before its end; the same command goes on from there."""

    exit_code = 3


def one_line(error: BaseException) -> str:
    """First telling line of another library's error message."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)  # a KeyError adds quotes
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
