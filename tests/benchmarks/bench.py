"""The benchmarks: what a generator step costs here and on other simulators, in time and memory, and how that grows.

    python tests/benchmarks/bench.py [--only step,expressions,mediq,mediq_training,memory,growth,training]
        [--skip stock,…] [--out FOLDER]

Writes ``bench.json``, ``table.md`` and plots. Parts that are not run keep their figures in an existing ``bench.json``, each
with its own date and command. Thread counts are left as each library sets them.
"""

import argparse
import datetime
import json
import shlex
import sys
from pathlib import Path

import expressions
import growth
import mediq
import mediq_training
import memory
import step
import training
from machine import about
from peers import MEDIQ_PEERS, STEP_PEERS
from plots import plot
from progress import reason, say
from report import report

from qgan_qiskit.device import keep_freed_memory

PARTS = {module.__name__: module for module in (step, expressions, mediq, mediq_training, memory, growth, training)}
PEERS = sorted({peer.key for peer in (*STEP_PEERS, *MEDIQ_PEERS)})
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run the parts, keep their figures after each, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names(PARTS), default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--skip", type=_names(PEERS), default=[], help=f"peers to leave out, of {','.join(PEERS)}")
    parser.add_argument("--out", type=Path, help="folder for the figures; default docs/results/simulation")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to see that all runs; default out build/bench")
    arguments = parser.parse_args()
    folder = arguments.out or ROOT / ("build/bench" if arguments.tiny else "docs/results/simulation")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bench.json"
    figures = json.loads(file.read_text()) if file.exists() else {}
    keep_freed_memory()
    for part in arguments.only:
        say(f"-- {part}")
        source = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
            "command": shlex.join(["python", "tests/benchmarks/bench.py", *sys.argv[1:]]),
            "about": about(),
        }
        figures[part] = source | PARTS[part].run(arguments.tiny, arguments.skip)
        file.write_text(json.dumps(figures, indent=1) + "\n")
        (folder / "table.md").write_text(report(figures))
    try:
        say(f"plots: {', '.join(plot(figures, folder))}")
    except ImportError as error:
        say(f"no plots: {reason(error)}")
    print(report(figures))
    say(f"figures are in {folder}")


def _names(known):
    """Return the argparse type of a comma-separated list of known names."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose of {', '.join(known)}")
        return [name for name in known if name in names]

    return parse


if __name__ == "__main__":
    main()
