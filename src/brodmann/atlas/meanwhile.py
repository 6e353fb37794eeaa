"""What a thread can get ready while the model works: imports, and the weights of the next random model.

Only for models whose forward passes take long enough to be worth it; the numbers are the same without it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any

_WORTH_IT = 50 << 20
_AFFORDABLE = 2 << 30


class Meanwhile:
    """One thread that gets things ready, and the one thing that it has ready."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._name = ""
        self._coming: Future[Any] | None = None

    @staticmethod
    def suits(model: Any) -> bool:
        """Whether a second model of this size is worth a thread and fits beside the first (CPU only)."""
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        return _WORTH_IT <= size <= _AFFORDABLE and all(p.device.type == "cpu" for p in model.parameters())

    def load(self, modules: Sequence[str]) -> None:
        """Import modules; what cannot be imported says so when it is used."""
        for module in dict.fromkeys(modules):
            self._threads().submit(import_module, module)

    def make(self, name: str, function: Callable[[], Any]) -> None:
        """Begin to make a thing, unless one is being made."""
        if self._coming is None:
            self._name, self._coming = name, self._threads().submit(function)

    def take(self, name: str) -> Any:
        """The thing of that name, waiting for it if it is being made; None where nobody began it."""
        if self._coming is None or self._name != name:
            return None
        coming, self._coming = self._coming, None
        return coming.result()

    def close(self) -> None:
        """Let go of everything; waits for what is being done."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._coming = None, None

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "brodmann-meanwhile")
        return self._pool
