"""Build one of the package's own models: ``python -m scripts.series nano`` or ``nano-moe``.

Downloads the text, trains the tokenizer, trains the model, and writes what ships. A run that was stopped goes on.
"""

import argparse
from pathlib import Path
from typing import Any

from scripts.series.corpus import Corpus, build
from scripts.series.keeper import Keeper
from scripts.series.notice import write_notice
from scripts.series.recipes import CONTEXT, RECIPES
from scripts.series.text import streams
from scripts.series.tokenizer import open_tokenizer, train_tokenizer
from scripts.series.train import run

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "series")
    parser.add_argument("--out", type=Path, default=None, help="default: the package's own folder")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    out = arguments.out or ROOT / "src" / "brodmann" / "models" / recipe.name
    out.mkdir(parents=True, exist_ok=True)
    corpus = build(arguments.work / "corpus")
    tokenizer = _tokenizer(corpus, arguments.work / "tokenizer")
    tokenizer.save_pretrained(out)
    tokens = streams(corpus, tokenizer)
    keeper = Keeper(recipe, corpus, tokens, tokenizer, arguments.work / recipe.name, out)
    run(recipe, tokens.train, arguments.work / recipe.name, keeper)
    write_notice(out)


def _tokenizer(corpus: Corpus, folder: Path) -> Any:
    if not (folder / "tokenizer.json").exists():
        texts = (text for domain in corpus.train.values() for text in domain)
        train_tokenizer(texts, CONTEXT).save_pretrained(folder)
    return open_tokenizer(folder)


if __name__ == "__main__":
    main()
