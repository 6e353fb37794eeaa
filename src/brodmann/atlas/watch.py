"""Wall seconds by stage: of a run, and of the parts that a study names as they begin."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Part = Callable[[float, str], None]


class Stopwatch:
    """Wall seconds by stage, until somebody takes them."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's wall time under a name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """What was counted since the last time."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken


class Parts:
    """Takes a study's signs of life (the name of each part, and perhaps its finished share) and times the parts."""

    def __init__(self, tell: Part) -> None:
        self._tell, self._name, self._since = tell, "", time.perf_counter()
        self._seconds: dict[str, float] = {}

    def __call__(self, name: str, share: float = 0.0) -> None:
        """Begin a part, or say how far it is."""
        if name != self._name:
            self.finish()
            self._name = name
        self._tell(share, name)

    def finish(self) -> dict[str, float]:
        """Seconds of each part so far."""
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
        self._since = now
        return dict(self._seconds)


def split(stages: dict[str, float], study: str, parts: Mapping[str, float]) -> dict[str, float]:
    """Divide a study's time by its parts."""
    named = {f"{study}: {part}": seconds for part, seconds in parts.items()}
    rest = max(0.0, stages.pop(study) - sum(named.values()))
    return {**stages, **named, study: rest}
