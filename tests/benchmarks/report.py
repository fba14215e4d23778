"""Tables in Markdown from the figures in ``bench.json``; a pure function of them."""

# A peer whose numbers are farther from ours than single precision explains does not compute the same thing.
AGREES = 1e-3
GIB = 2**30


def report(figures: dict) -> str:
    """Return the tables of all parts that have figures, each with the command and the machine that made it."""
    parts = [f"{TABLES[part](figures[part])}\n\n{_source(figures[part])}" for part in TABLES if part in figures]
    return "\n\n".join(parts) + "\n"


def _source(part: dict) -> str:
    about = part["about"]
    return (
        f"`{part['command']}` on {part['date']}: {about['processor']}, {about['processors']} processors, "
        f"{about['threads']} torch threads; versions are in `bench.json`."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.2g}x"


def _differences(gaps: dict[str, float]) -> str:
    text = " · ".join(f"{gap:.0e}" for gap in gaps.values())
    # "not below" instead of "above": NaN is below nothing.
    return text if all(gap < AGREES for gap in gaps.values()) else f"**DIFFERS** {text}"


def _sizes(sizes: dict) -> str:
    return "{circuits} circuits x {qubits} qubits x {layers} layers, batch {batch}".format(**sizes)


def _comparison(part: dict) -> str:
    head = ["simulator", "measured", "numbers", "step", "ratio", "target", "first call", "largest differences ¹"]
    own = part["ours"]
    first, gaps = _time(own["first_call_seconds"]), _differences(own["differences"])
    target = _time(part["target_seconds"]) if "target_seconds" in part else "–"
    name = "**ours**: `SubGenerators`, fused"
    rows = [[name, "all", "float32", _time(own["seconds"]), "1x", target, first, gaps]]
    for row in part["peers"].values():
        if "missing" in row:
            rows.append([row["name"], row["missing"], row["precision"], "–", "–", _ratio(row["target"]), "–", "–"])
            continue
        step, ratio, target = _time(row["seconds"]), _ratio(row["ratio"]), _ratio(row["target"])
        first, gaps = _time(row["first_call_seconds"]), _differences(row["differences"])
        rows.append([row["name"], row["measured"], row["precision"], step, ratio, target, first, gaps])
    notes = (
        "Forward, and backward to inputs and weights; medians. Each ratio is to ours timed right before and after the row; "
        "steps measured in part are scaled to the whole. The first call, not scaled and not in the medians, has what is "
        "compiled at first use.\n\n"
        "¹ from ours, on the part that was measured: expectations · gradients by inputs · by weights (ours: from ours in "
        "float64)."
    )
    return f"{_table(head, rows)}\n\n{notes}"


def _expressions(part: dict) -> str:
    head = ["circuit", "step", "ratio", "target"]
    rows = [
        ["affine angles in place of the products", _time(part["affine_seconds"]), "1x", "–"],
        ["`zz_feature_map(10)`", _time(part["seconds"]), f"{part['ratio']:.2f}x", f"{part['target']}x"],
    ]
    notes = (
        "Each followed by `real_amplitudes(10, reps=6)`, one circuit, batch 64, float32, ten expectations, forward and backward "
        "to inputs and weights; medians, both measured side by side.\n\n"
        "Ways to evaluate the angles of the pairs and their derivatives alone, in double precision:"
    )
    names = {
        "ours": "ours: trees of one form together, torch and its autograd",
        "lambdify_torch": "`sympy.lambdify` to torch, autograd",
        "lambdify_numpy": "`sympy.lambdify` to NumPy, derivatives by `sympy.diff`",
        "bind": "Qiskit's `gradient`, `bind` and `numeric` for each image",
    }
    ways = [[names[way], _time(row["prepare_seconds"]), _time(row["seconds"])] for way, row in part["ways"].items()]
    return f"{_table(head, rows)}\n\n{notes}\n\n{_table(['way', 'prepared in', 'evaluated in'], ways)}"


def _step(part: dict) -> str:
    bound, backward = part["bound"], part["backward"]
    lines = [
        f"Matrix product (2048 x 2048, float32): {bound['sgemm_gflops']:.0f} GFLOP/s. Gate by gate the step is "
        f"{bound['step_gflop']:.2g} GFLOP, {_time(bound['seconds'])} at that rate; ours is {bound['ratio']:.2f}x of it "
        f"(target: at most {bound['target']}x)."
    ]
    head = "Backward pass alone of `EstimatorQNN` + `TorchConnector`"
    if "missing" in backward:
        lines.append(f"{head}: {backward['missing']}.")
    else:
        lines.append(
            f"{head}: {_time(backward['exact_seconds'])} on `ExactEstimator`, {_time(backward['stock_seconds'])} stock, "
            f"{_ratio(backward['ratio'])} (target {_ratio(backward['target'])}; one circuit measured, stock with one image)."
        )
    lines.append("![times of the step, over ours](step.png)")
    return f"## Generator step of HybridQ: {_sizes(part['sizes'])}\n\n{_comparison(part)}\n\n" + "\n\n".join(lines)


def _mediq(part: dict) -> str:
    return f"## Generator step in MediQ-GAN's shape: {_sizes(part['sizes'])}\n\n{_comparison(part)}"


def _memory(part: dict) -> str:
    sizes = ["circuits", "qubits", "layers", "batch"]
    head = [*sizes, "forward + backward", "target", "circuits in Qiskit ²", "loaded once ³", "step"]
    rows = []
    for row in [*part["depth"], part["large"]]:
        first = [str(row[key]) for key in sizes]
        target = f"{row['target_mib']:,} MiB" if "target_mib" in row else "–"
        if "missing" in row:
            rows.append([*first, row["missing"], target, "–", "–", "–"])
            continue
        mib = row["mib"]
        others = (mib["built"] - mib["loaded"], mib["loaded"] - mib["imported"])
        in_words = [f"{size:,.0f} MiB" for size in (mib["step"], *others)]
        rows.append([*first, in_words[0], target, *in_words[1:], _time(row["seconds"])])
    notes = (
        "Highest resident memory over several steps, less that before the first of them, each row in a process of its own; "
        "the compiled circuit is in it.\n\n"
        "² what Qiskit's circuits, `EstimatorQNN` and connectors take before the first step · ³ what a first step of one "
        "qubit leaves behind in any process: torch imports SymPy at its first gradient"
    )
    return f"## Memory of a step\n\n{_table(head, rows)}\n\n{notes}"


def _growth(part: dict) -> str:
    parts = [f"## Growth about {_sizes(part['base'])}", _exponents(part["factors"])]
    for factor, figures in part["factors"].items():
        rows = []
        for point in figures["points"]:
            missing = [point["missing"], "–"] if "missing" in point else None
            rows.append([str(point["value"]), *(missing or [_time(point["seconds"]), f"{point['step_mib']:,.1f} MiB"])])
        parts.append(_table([factor, "step", "memory"], rows))
    parts += [_wall(part), "![time and memory of a step](growth.png)"]
    return "\n\n".join(parts)


def _exponents(factors: dict) -> str:
    rows = []
    for factor, figures in factors.items():
        law = "2^(a qubits)" if factor == "qubits" else f"{factor}^a"
        slopes = [figures["exponents"][quantity] for quantity in ("seconds", "step_mib")]
        rows.append([law, *("–" if slope is None else f"{slope:.2f}" for slope in slopes)])
    return _table(["law", "a of time", "a of memory"], rows) + "\n\nFitted to the upper half of each range below."


def _wall(part: dict) -> str:
    """How many images and sub-generators fit into a GiB, from the measured memory of the points with other qubits."""
    instances = part["base"]["circuits"] * part["base"]["batch"]
    rows = []
    for point in part["factors"]["qubits"]["points"]:
        if "missing" in point:
            rows.append([str(point["value"]), point["missing"], "–", "–", "–"])
            continue
        measured = max(point["step_mib"] * 2**20 / instances, 1)
        estimate = point["engine_bytes_per_instance"]
        state = 4 << point["value"]
        own = "–" if estimate is None else f"{estimate:,}"
        fitting = f"{GIB / measured:,.0f}"
        rows.append([str(point["value"]), f"{measured:,.0f}", f"{measured / state:.1f}", own, fitting])
    head = ["qubits", "bytes ⁴", "in states", "the engine's own estimate", "images x sub-generators per GiB"]
    note = (
        f"⁴ for one image of one sub-generator: memory of the step / {instances}, fixed costs included, so for few qubits it "
        "is too high. A state is 2^qubits numbers of 4 bytes."
    )
    return f"{_table(head, rows)}\n\n{note}"


def _training(part: dict) -> str:
    return (
        "## Whole training step of the default HybridQ preset (batch 64, 64x64 images)\n\n"
        f"{_time(part['whole_seconds'])}, of which the quantum part, {_time(part['quantum_seconds'])}, is "
        f"{100 * part['share']:.2g} %."
    )


def _mediq_training(part: dict) -> str:
    head = f"## Whole training step of MediQ-GAN (batch {part['batch']}, {part['critic_steps']} critic updates, 64x64 images)"
    if "missing" in part:
        return f"{head}\n\n{_time(part['whole_seconds'])}. PennyLane: {part['missing']}."
    return (
        f"{head}\n\n{_time(part['whole_seconds'])}. With PennyLane's `lightning.qubit` (adjoint) in the circuits' place "
        f"{_time(part['lightning_circuits_seconds'])} more: {_ratio(part['ratio'])} (target {_ratio(part['target'])}; "
        "2 of 10 images through one of five circuits measured, and scaled)."
    )


TABLES = {
    "step": _step,
    "expressions": _expressions,
    "mediq": _mediq,
    "mediq_training": _mediq_training,
    "memory": _memory,
    "growth": _growth,
    "training": _training,
}
