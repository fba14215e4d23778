"""Which parameters are inputs and weights: by their names, by patterns, and by lists in the metadata."""

import json

import pytest
from qiskit.circuit import Parameter

from qgan_qiskit.circuits import ParameterNames, read_circuit_spec
from qgan_qiskit.circuits.circuit_spec import split_parameters
from qgan_qiskit.errors import CircuitError


def split(names, inputs=None, weights=None):
    found = split_parameters([Parameter(name) for name in names], ParameterNames(inputs, weights))
    return [[parameter.name for parameter in kind] for kind in found]


MANY = [f"_θ_{number}_" for number in (10, 2, 0, 1, 11)]


@pytest.mark.parametrize(
    ("names", "inputs", "weights", "expected"),
    [
        (["theta_010", "x_001", "theta_002", "x_000"], None, None, [["x_000", "x_001"], ["theta_002", "theta_010"]]),
        ([*MANY, "x_000"], None, "_θ_*", [["x_000"], ["_θ_0_", "_θ_1_", "_θ_2_", "_θ_10_", "_θ_11_"]]),
        (["_θ_0_", "_θ_1_", "_θ_2_"], "_θ_0_", "_θ_[12]_", [["_θ_0_"], ["_θ_1_", "_θ_2_"]]),
        # As the circuit in Python calls them, whose exporter puts underscores.
        (["_θ_0_", "_θ_1_", "_x_0_"], "x[*]", "θ[*]", [["_x_0_"], ["_θ_0_", "_θ_1_"]]),
        (["theta[10]", "theta[2]", "a"], "a", "theta[*]", [["a"], ["theta[2]", "theta[10]"]]),
        (["b2", "a1", "b1", "c"], "c", "b*, a?", [["c"], ["b1", "b2", "a1"]]),
        (["b", "a", "c"], ("c",), ("b", "a"), [["c"], ["b", "a"]]),
        (["_θ_0_", "_θ_1_"], ("θ[1]",), ("θ[0]",), [["_θ_1_"], ["_θ_0_"]]),
        (["w1"], None, "w*", [[], ["w1"]]),
    ],
)
def test_order(names, inputs, weights, expected):
    assert split(names, inputs, weights) == expected


@pytest.mark.parametrize(
    ("names", "inputs", "weights", "pattern"),
    [
        (["alpha"], None, None, "'alpha' .* --input-names"),
        (["a", "b"], "a*", None, "'b' .* --input-names"),
        (["a1", "a2"], "a*", "a2", "'a2' is both"),
        (
            ["a", "b"],
            "a",
            r"b\d+",
            r"weight pattern .*'b\\d\+'; .* a, b",
        ),
        (["a", "b"], ("a", "c"), ("b",), "input name 'c'"),
        (["a", "b"], ("a", "a"), ("b",), "'a' is listed twice"),
        (["x_001", "x_0001"], None, None, "have the same number"),
    ],
)
def test_refusals(names, inputs, weights, pattern):
    with pytest.raises(CircuitError, match=pattern):
        split(names, inputs, weights)


TEXT = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float b;\ninput float a;\ninput float c;\nqubit q;\n'


def test_lists_of_the_metadata_give_the_order_and_leave_the_observables(tmp_path):
    path = tmp_path / "mine.qasm"
    path.write_text(TEXT + "rx(a) q; ry(b) q; rx(c) q;")
    metadata = {"input_names": ["c"], "weight_names": ["b", "a"]}
    path.with_suffix(".json").write_text(json.dumps(metadata))
    spec = read_circuit_spec(path)
    assert [p.name for p in spec.input_parameters] == ["c"]
    assert [p.name for p in spec.weight_parameters] == ["b", "a"]
    assert [o.to_list() for o in spec.observables] == [[("Z", 1)]]
    # What the caller says wins, as with observables.
    assert [p.name for p in read_circuit_spec(path, names=ParameterNames("a", "b,c")).input_parameters] == ["a"]


@pytest.mark.parametrize("value", ["a", {"a": 1}, [1], [None]])
def test_metadata_without_a_list_of_names(tmp_path, value):
    path = tmp_path / "mine.qasm"
    path.write_text(TEXT + "rx(a) q; ry(b) q; rx(c) q;")
    path.with_suffix(".json").write_text(json.dumps({"weight_names": value}))
    with pytest.raises(CircuitError, match=r"mine\.json: .*weight_names"):
        read_circuit_spec(path)
