"""One measurement of ours in a process of its own: time and resident memory of a step of given sizes.

``python probe.py '{"circuits": 10, "qubits": 10, "layers": 6, "batch": 64, "budget": 0.5}'`` prints JSON. Memory is that of
the process as Linux counts it, in MiB: ``imported`` after the imports, ``loaded`` after a step of one qubit (torch imports
SymPy at its first gradient), ``built`` when Qiskit's circuits and connectors stand, ``peak`` the highest while steps
were made, and ``step`` = peak - built, which is what forward and backward take, compiling included.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

TIME_LIMIT = 900


def probe(circuits: int, qubits: int, layers: int, batch: int, budget: float = 0.5) -> dict:
    """Run this file with sizes; return what it printed.

    Raises:
        RuntimeError: the process failed or was killed; the message is its last line.
    """
    sizes = {"circuits": circuits, "qubits": qubits, "layers": layers, "batch": batch, "budget": budget}
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(sizes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"longer than {TIME_LIMIT} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"exit status {done.returncode} {last}".strip())
    return json.loads(done.stdout.splitlines()[-1])


def _resident_mib(field: str) -> float:
    """Return VmRSS (now) or VmHWM (the highest so far) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")


def _main() -> None:
    # Imported here: the parent only starts processes.
    from case import Form, make_case
    from peers import ours
    from timing import first_call, measure

    from qgan_qiskit.device import keep_freed_memory

    sizes = json.loads(sys.argv[1])
    keep_freed_memory()  # as training does
    imported = _resident_mib("VmRSS")
    ours.prepare(make_case(Form(1, 1), circuits=1, batch=1))()
    loaded = _resident_mib("VmRSS")
    case = make_case(Form(sizes["qubits"], sizes["layers"]), sizes["circuits"], sizes["batch"])
    step = ours.prepare(case)
    built = _resident_mib("VmRSS")
    # Forget the peak of the imports, so that a small step is seen; without this right the figures can only be too high.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    first_seconds = first_call(step)
    timing = measure(step, budget=sizes["budget"])
    peak = _resident_mib("VmHWM")
    result = {
        "seconds": timing.seconds,
        "first_call_seconds": first_seconds,
        "runs": timing.runs,
        "mib": {"imported": imported, "loaded": loaded, "built": built, "peak": peak, "step": peak - built},
        "engine_bytes_per_instance": _engine_estimate(case),
    }
    print(json.dumps(result))


def _engine_estimate(case) -> int:
    """Return what the engine itself expects one image of one circuit to take at most, its share of what a step takes."""
    import torch

    from qgan_qiskit.simulation.engine_cache import engine_for_spec

    engine = engine_for_spec(case.form.ansatz(), torch.float32, torch.device("cpu"))
    return engine.bytes_needed(case.circuits, case.batch, gradient=True) // (case.circuits * case.batch)


if __name__ == "__main__":
    _main()
