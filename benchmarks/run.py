"""Run every benchmark: `make bench`. Each prints ratios against a peer measured in the same run."""

import subprocess
import sys
from pathlib import Path

for script in ("phiid.py", "recording.py", "lesions.py", "callback.py", "fractal.py", "map_stages.py"):
    print(f"\n== {script}", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).parent / script)], check=True)
