"""Settings as plain data: dictionaries, YAML and content addresses."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from brodmann.errors import SettingsError

T = TypeVar("T")


def to_dict(settings: Any) -> dict[str, Any]:
    """Nested plain dictionary of a settings dataclass."""
    return dataclasses.asdict(settings)


def digest(value: Any) -> str:
    """Short content address (16 hex digits) of anything JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_yaml(settings: Any) -> str:
    """YAML text of a settings dataclass; `from_yaml` gives the same settings back."""
    return yaml.safe_dump(to_dict(settings), sort_keys=False, allow_unicode=True)


def from_yaml(kind: type[T], path: str | Path) -> T:
    """Read settings from a YAML file.

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds an unknown field or a value of the wrong type.
    """
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not YAML: {str(error).splitlines()[0]}") from None
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise SettingsError(f"settings file {path}: expected a mapping of settings, found {type(loaded).__name__}")
    return from_dict(kind, loaded, where=str(path))


def from_dict(kind: type[T], values: dict[str, Any], *, where: str = "settings") -> T:
    """Build a settings dataclass from a nested dictionary, checking names and types."""
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise SettingsError(f"{where}: unknown setting '{unknown[0]}'; known are {', '.join(sorted(hints))}")
    arguments = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, dict):
                raise SettingsError(f"{where}: '{name}' must be a mapping of settings")
            value = from_dict(hint, value, where=f"{where}: {name}")
        else:
            value = _checked(value, hint, f"{where}: {name}")
        arguments[name] = value
    return kind(**arguments)


def _checked(value: Any, hint: Any, where: str) -> Any:
    options = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise SettingsError(f"{where} = {value!r} is not a list")
        return tuple(_checked(each, options[0], where) for each in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type):
        if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
            return value
        raise SettingsError(f"{where} = {value!r} is not of type {hint.__name__}")
    if type(None) in options:
        if value is None or isinstance(value, tuple(o for o in options if isinstance(o, type))):
            return value
        raise SettingsError(f"{where} = {value!r} has the wrong type")
    if value not in options:
        raise SettingsError(f"{where} = {value!r}; choose one of {', '.join(map(str, options))}")
    return value
