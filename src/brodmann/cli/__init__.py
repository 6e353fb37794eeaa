"""The command line: parses settings, calls the rooms, prints, exits. No science, and no torch until a model is opened.

Exit codes: 0 done, 1 a mistake that the user can act on (one line), 2 usage, 3 incomplete (the same command goes on).
"""

import dataclasses
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from brodmann.cli import lesions, looking, mapping, options, track
from brodmann.errors import BrodmannError
from brodmann.settings import MapSettings

ABOUT = """An atlas of the functional anatomy of language models, a null beside every claim

  brodmann map smollm2-135m      record a model, run all studies, write a report
  brodmann map MODEL --dry-run   what that would take, before anything is opened
  brodmann COMMAND --help        an example and all settings of a command

MODEL is a hub id, a local folder, a GGUF file, a model that ships in a package,
  or random:FAMILY.

A command that was stopped goes on where it was when it is given again.

Every command takes --traceback.

Exit codes: 0 done, 1 mistake (one clear line), 2 usage, 3 incomplete."""

COMMANDS = {
    "map": mapping.map_,
    "record": mapping.record_,
    "synergy": mapping.synergy_,
    "lesions": lesions.lesions_,
    "accuracy": lesions.accuracy_,
    "allocation": lesions.allocation_,
    "track": track.track_,
    "sizes": track.sizes_,
    "fractal": track.fractal_,
    "report": looking.report_,
    "models": looking.models_,
    "prompts": looking.prompts_,
    "studies": looking.studies_,
    "cite": looking.cite_,
}
ON_ATLASES = ("synergy", "lesions", "accuracy", "allocation", "fractal")
"""Commands that take an atlas in place of a model: its settings are then their defaults."""


def _defaults(arguments: Sequence[str]) -> MapSettings:
    """Settings that the options start from: of ``--settings``, else of an atlas that is named, else the usual ones."""
    for number, word in enumerate(arguments):
        if word == "--settings" and number + 1 < len(arguments):
            return mapping.base(Path(arguments[number + 1]))
        if word.startswith("--settings="):
            return mapping.base(Path(word.partition("=")[2]))
    on_atlas = bool(arguments) and arguments[0] in ON_ATLASES
    return mapping.base(None, *(word for word in arguments[1:] if on_atlas and not word.startswith("-")))


def _with_defaults(command: Any, settings: MapSettings) -> Any:
    """The command with other default settings."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    values["run"] = options.Run(seed=values.pop("seed"))
    signature = inspect.signature(command)
    names = values.keys() & signature.parameters.keys()
    if settings == MapSettings() or not names:
        return command

    @functools.wraps(command)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    changed.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(default=values[name]) if name in names else p for name, p in signature.parameters.items()]
    )
    return changed


def _config(words: Sequence[str]) -> tuple[Any, ...]:
    """How options are written: the help shows of each switch the word that changes it, a command takes both words.

    What a switch stands at may come from an atlas, and a command that is given again must not fail by that.
    """
    helping = not words or any(word in ("-h", "--help") for word in words)
    return (tyro.conf.OmitArgPrefixes, *((tyro.conf.FlagCreatePairsOff,) if helping else ()))


def _brief(command: Any) -> Any:
    """The command as the list of all commands shows it: by the first line of its help."""

    @functools.wraps(command)
    def listed(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    listed.__doc__ = (command.__doc__ or "").partition("\n")[0]
    return listed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    # Threads that wait for each other spin only briefly, then sleep: on a machine with other work, spinning threads
    # steal the cores from those they wait for. Must be set before torch loads; a user's own setting wins.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--traceback"]
    traceback = words != given
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; what matters is said in errors and caveats
    try:
        defaults = _defaults(words)
        commands = {name: _with_defaults(command, defaults) for name, command in COMMANDS.items()}
        one = bool(words) and words[0] in COMMANDS
        tyro.extras.subcommand_cli_from_dict(
            commands if one else {name: _brief(command) for name, command in commands.items()},
            prog="brodmann",
            description=ABOUT,
            args=words,
            config=_config(words),
        )
    except BrodmannError as error:
        if traceback:
            raise
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        if traceback:
            raise
        return _fail("stopped; run the same command again to go on", 3)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence: no traceback unless asked for
        if traceback:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; --traceback shows where, please report it", 1)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
