"""The circuit command, through click's runner; errors stay exceptions for the top level to print."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from qgan_qiskit.circuits import circuit_spec_to_qasm, draw, hybridq_ansatz, qgpatch_ansatz
from qgan_qiskit.circuits.reference import REFERENCE_CIRCUITS, build_reference
from qgan_qiskit.cli.circuit import command
from qgan_qiskit.config import HybridQConfig, MosaiqConfig, QgpatchConfig
from qgan_qiskit.errors import CircuitError, UsageError

BUILDER = ("num_qubits", "reps", "encoding", "entangler", "readout")


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_defaults_help_and_choices_are_those_of_the_configurations():
    options = {option.name: option for option in command.commands["draw"].params}
    for name in BUILDER:
        assert options[name].help == HybridQConfig.model_fields[name].description
        assert options[name].default is None
        for config in (HybridQConfig, MosaiqConfig, QgpatchConfig):
            if name in config.model_fields:
                shown = f"{config.model_fields['name'].default} {config.model_fields[name].default}"
                assert shown in options[name].show_default
    for name, value in (("num_qubits", 20), ("reps", 200)):
        assert options[name].type.max == value
        HybridQConfig(**{name: value})
        with pytest.raises(ValueError, match=name):
            HybridQConfig(**{name: value + 1})


def test_every_option_shows_its_default_and_choices():
    shown = " ".join(run("draw", "--help").output.split())
    for text in (
        "[default: (hybridq 10, mosaiq 10, qgpatch 5); 1<=x<=20]",
        "[default: (hybridq 6, mosaiq 6, qgpatch 5); 1<=x<=200]",
        "--encoding [ry|ry_rx]",
        "--style [text|mpl|latex]",
        "mosaiq_q5_r6",
        "x>=-1]",
    ):
        assert text in shown
    assert shown.count("[default: ") == len(command.commands["draw"].params)


def test_draw_builds_from_options():
    options = "--num-qubits 3 --reps 2 --encoding ry_rx --entangler cz --readout x --fold -1"
    result = run("draw", *options.split())
    assert result.exit_code == 0
    assert result.output == draw(hybridq_ansatz(3, 2, encoding="ry_rx", entangler="cz", readout="x"), fold=-1) + "\n"


def test_draw_defaults_to_the_papers_circuit():
    assert run("draw", "--fold", "-1").output == draw(hybridq_ansatz(), fold=-1) + "\n"


@pytest.mark.parametrize(
    ("arguments", "spec"),
    [
        (("mosaiq",), hybridq_ansatz(encoding="ry_rx", entangler="cz", readout="x")),
        (("mosaiq", "--num-qubits", 5, "--entangler", "cx"), hybridq_ansatz(5, encoding="ry_rx", readout="x")),
        (("qgpatch",), qgpatch_ansatz()),
        (("qgpatch", "--reps", 2, "--num-ancillas", 2), qgpatch_ansatz(5, 2, num_ancillas=2)),
    ],
)
def test_draw_another_models_circuit_with_its_own_defaults(arguments, spec):
    assert run("draw", "--fold", "-1", "--model", *arguments).output == draw(spec, fold=-1) + "\n"


def test_draw_a_reference_circuit_and_a_file(tmp_path):
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(build_reference("mosaiq_q5_r6")), encoding="utf-8")
    expected = draw(build_reference("mosaiq_q5_r6"), fold=100) + "\n"
    assert run("draw", "--reference", "mosaiq_q5_r6", "--fold", 100).output == expected
    assert run("draw", "--ansatz", path, "--fold", 100).output == expected


def test_draw_writes_files(tmp_path):
    picture, source = tmp_path / "a.png", tmp_path / "a.tex"
    assert run("draw", "--num-qubits", 2, "--style", "mpl", "--output", picture).output == f"wrote {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("draw", "--num-qubits", 2, "--style", "latex", "--output", source).exit_code == 0
    assert "\\Qcircuit" in source.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        (("--reference", "nothing"), CircuitError, "'nothing'"),
        (("--ansatz", "nowhere.qasm"), CircuitError, r"nowhere.qasm: cannot be read"),
        (("--style", "mpl"), CircuitError, "no file"),
        (("--fold", "5"), CircuitError, "fold is 5"),
        (("--reference", "mosaiq_q5_r6", "--reps", "6"), UsageError, "--reference cannot .* --reps"),
        (("--ansatz", "a", "--reference", "b"), UsageError, "--ansatz cannot .* --reference"),
        (
            ("--model", "qgpatch", "--encoding", "ry"),
            UsageError,
            "--encoding .* qgpatch",
        ),
        (("--num-ancillas", "1"), UsageError, "--num-ancillas .* hybridq"),
        (("--model", "qgpatch", "--num-qubits", "15"), UsageError, "--num-qubits: .*less than or equal to 14, not 15"),
        (("--ansatz", "a", "--model", "hybridq", "--num-qubits", "3"), UsageError, "with --model, --num-qubits"),
    ],
)
def test_errors_reach_the_top_level(arguments, error, pattern):
    result = run("draw", *arguments)
    assert type(result.exception) is error
    with pytest.raises(error, match=pattern):
        raise result.exception


@pytest.mark.parametrize("arguments", [("--num-qubits", 21), ("--reps", 0), ("--entangler", "cy"), ("--style", "svg")])
def test_values_out_of_range_are_clicks_usage_errors(arguments):
    result = run("draw", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output


def test_export_then_check_then_differences(tmp_path):
    folder = tmp_path / "circuits"
    number = len(REFERENCE_CIRCUITS)
    assert run("export", folder).output == f"wrote {number} reference circuits to {folder}\n"
    result = run("check", folder)
    assert (result.exit_code, result.output) == (0, f"{number} reference circuits match\n")
    (folder / "mosaiq_q5_r6.txt").unlink()
    (folder / "stray").touch()
    result = run("check", folder)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{folder / 'mosaiq_q5_r6.txt'}: missing",
        f"{folder / 'stray'}: extra, no builder writes it",
    ]


def test_folder_defaults_to_circuits(monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    assert run("check").exit_code == 0
    assert isinstance(run("check", "nowhere").exception, CircuitError)


def test_import_is_cheap():
    program = "import qgan_qiskit.cli.circuit, sys; print(sorted({'qiskit', 'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


INPUTS = "input float[64] _x_0_;\ninput float[64] _θ_10_;\ninput float[64] _θ_2_;\n"
NAMED = f'OPENQASM 3.0;\ninclude "stdgates.inc";\n{INPUTS}qubit q;\nry(_x_0_) q;\nrx(_θ_10_) q;\nrz(_θ_2_) q;\nrx(_θ_10_) q;\n'


def test_draw_a_file_whose_parameters_have_other_names(tmp_path):
    path = tmp_path / "mine.qasm"
    path.write_text(NAMED, encoding="utf-8")
    assert "'_θ_10_' is neither" in str(run("draw", "--ansatz", path).exception).replace("_x_0_", "_θ_10_")
    result = run("draw", "--ansatz", path, "--input-names", "_x_*", "--weight-names", "θ[*]", "--fold", -1)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["inputs in order: _x_0_", "weights in order: _θ_2_, _θ_10_"]
    assert "Ry(_x_0_)" in result.stdout
    wrong = run("draw", "--input-names", "_x_*")
    assert type(wrong.exception) is UsageError
    assert "give --ansatz too" in str(wrong.exception)


@pytest.mark.parametrize(
    ("text", "note", "shown"),
    [
        (
            'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[1];\nrzz(0.3) q[0],q[1];\nmeasure q[0] -> c[0];\n',
            "can be drawn but not trained: OpenQASM 2 has no free parameters",
            "ZZ(0.3)",
        ),
        (
            'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nh q;\n',
            "can be drawn but not trained: it has no free parameters",
            "H",
        ),
        (
            'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float theta_000;\nqubit q;\nry(theta_000) q;\n',
            "can be drawn but not generate images: it has no inputs",
            "Ry(theta_000)",
        ),
    ],
)
def test_draw_what_cannot_be_trained(tmp_path, text, note, shown):
    path = tmp_path / "mine.qasm"
    path.write_text(text, encoding="utf-8")
    result = run("draw", "--ansatz", path)
    assert result.exit_code == 0
    assert result.stderr == f"note: {path} {note}\n"
    assert shown in result.stdout
