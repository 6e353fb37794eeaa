"""Names that load when they are first used, so that opening a room does not open everything in it.

A room's ``__init__`` lists its public names with the module each lives in, for the reader and the type checker in a
``TYPE_CHECKING`` block, and hands the same table to `exports`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Build a module ``__getattr__``.

    Parameters
    ----------
    package
        Name of the package, ``__name__``.
    modules
        Public name -> module it lives in, relative to the package; a name that maps to itself is the module.

    Examples
    --------
    >>> get = exports("brodmann", {"BrodmannError": "errors", "errors": "errors"})
    >>> get("BrodmannError").__name__, get("errors").__name__
    ('BrodmannError', 'brodmann.errors')
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module = import_module(f"{package}.{modules[name]}")
        return module if modules[name] == name else getattr(module, name)

    return get
