"""Build the documentation as plain HTML: the pages of this folder and an API page from the docstrings.

python docs/build.py [OUT]        (default: site/)
"""

import html
import inspect
import sys
from importlib import import_module
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
ROOMS = (
    "brodmann.models", "brodmann.recordings", "brodmann.stats", "brodmann.synergy", "brodmann.synergy.phiid",
    "brodmann.synergy.core", "brodmann.synergy.graphs", "brodmann.fractal",
    "brodmann.fractal.spectrum", "brodmann.fractal.paths", "brodmann.fractal.live", "brodmann.fractal.graphs",
    "brodmann.atlas", "brodmann.settings", "brodmann.errors",
    "brodmann.page",
)  # fmt: skip
STYLE = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 Georgia, serif; color: #222; background: #fff }
code, pre { font: 0.85rem/1.45 ui-monospace, Menlo, Consolas, monospace }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
h3 code { font-size: 1rem } table { border-collapse: collapse } td, th { padding: 0.2rem 0.8rem 0.2rem 0; text-align: left }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } a { color: #9bd } }
"""


def page(title: str, body: str, links: str) -> str:
    """A whole HTML page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><nav>{links}</nav>{body}</body></html>\n"
    )


def public(room: str) -> list[tuple[str, object]]:
    """Documented classes and functions of a room, in the order of its ``__all__`` or of their definition."""
    module = import_module(room)
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == room
    ]  # fmt: skip
    found = [(name, getattr(module, name)) for name in names]
    return [(name, value) for name, value in found if inspect.isclass(value) or inspect.isroutine(value)]


def entry(name: str, value: object) -> str:
    """One name: signature and docstring."""
    try:
        signature = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        signature = ""
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    return f'<h3 id="{name}"><code>{name}{html.escape(signature)}</code></h3><pre>{html.escape(text)}</pre>'


def api() -> str:
    """The API page's body."""
    parts = ["<h1>API</h1>"]
    for room in ROOMS:
        parts.append(f"<h2>{room}</h2><p>{html.escape(inspect.getdoc(import_module(room)) or '')}</p>")
        parts += [entry(name, value) for name, value in public(room)]
    return "\n".join(parts)


def main() -> None:
    """Write all pages."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "site"
    out.mkdir(parents=True, exist_ok=True)
    sources = {"index": HERE.parent / "README.md", **{path.stem: path for path in sorted(HERE.glob("*.md"))}}
    names = [*sources, "api"]
    links = " · ".join(f'<a href="{name}.html">{"Brodmann" if name == "index" else name}</a>' for name in names)
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name, path in sources.items():
        body = markdown.render(path.read_text(encoding="utf-8"))
        (out / f"{name}.html").write_text(page(name, body, links), encoding="utf-8")
    (out / "api.html").write_text(page("API", api(), links), encoding="utf-8")
    print(f"{out}: {', '.join(f'{name}.html' for name in names)}")


if __name__ == "__main__":
    main()
