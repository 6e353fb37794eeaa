"""Where the time of a whole `brodmann map` goes: the model's own forward passes against everything else.

python benchmarks/map_stages.py [--model smollm2-135m] [--new-tokens 100]
"""

import argparse
import tempfile
from pathlib import Path

import brodmann as bd


def main() -> None:
    """Map into a temporary folder and print its stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--new-tokens", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        atlas = bd.map(arguments.model, out=Path(folder) / "atlas", new_tokens=arguments.new_tokens)
        seconds = atlas.seconds
    total = sum(seconds.values())
    for stage, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{stage:<24}{value:>9.2f} s{value / total:>8.1%}")
    other = total - seconds.get("forward", 0.0)
    print(f"{'not forward passes':<24}{other:>9.2f} s{other / total:>8.1%}")


if __name__ == "__main__":
    main()
