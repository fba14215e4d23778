"""How ``fit`` sets up its runs: each builds its networks once, and trains what a run of its class alone trains."""

import pytest
from tiny_runs import fingerprint

from qgan_qiskit.circuits import circuit_spec_to_qasm, hybridq_ansatz
from qgan_qiskit.workflows import fit as fit_module
from qgan_qiskit.workflows.fit import fit, fit_into, resume


@pytest.fixture
def built(monkeypatch):
    """The settings of every pair of networks that was built."""
    configs = []
    build = fit_module.build_networks
    monkeypatch.setattr(fit_module, "build_networks", lambda config: (configs.append(config), build(config))[1])
    return configs


def test_a_new_run_and_a_resumed_one_build_their_networks_once(built, tiny, tmp_path):
    (run,) = fit(tiny(training={"steps": 1}), tmp_path / "runs")
    assert len(built) == 1
    resume(run, {"training": {"steps": 2}})
    assert len(built) == 2
    fit_into(tiny(training={"steps": 1}), tmp_path / "named")
    assert len(built) == 3


def test_classes_do_not_share_networks(built, tiny, tmp_path):
    runs = fit(tiny(data={"class_name": "all"}, training={"steps": 2}), tmp_path / "all")
    assert len(built) == len(runs) == 3
    for run, class_name in zip(runs, ("nevus", "melanoma", "keratosis"), strict=True):
        (alone,) = fit(tiny(data={"class_name": class_name}, training={"steps": 2}), tmp_path / class_name)
        assert fingerprint(alone) == fingerprint(run)


def test_a_users_circuit_is_trained_as_it_is_stored(built, tiny, tmp_path):
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(hybridq_ansatz(2, 1)))
    (run,) = fit(tiny(model={"ansatz": str(path)}, training={"steps": 1}), tmp_path / "runs")
    assert built[-1].model.ansatz == str(run / "circuit.qasm")
