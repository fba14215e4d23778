"""An option that would change nothing is refused, over every option and kind of backend; names are checked first."""

from __future__ import annotations

import itertools
import warnings

import pytest
from pydantic import ValidationError

from qgan_qiskit.cli.generate import hardware_settings
from qgan_qiskit.cli.options import option_name
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.hardware import SETTINGS_USED, find_unused_settings
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.ibm.options import build_estimator_options

BACKENDS = {"exact": "exact", "shots": "shots", "aer": "aer:manila", "fake": "fake:manila", "ibm": "ibm:some"}
# A value of each setting that is not its default, and what it needs beside it.
VALUES = {
    "shots": (100, {}),
    "pack": (1, {}),
    "execution_mode": ("batch", {}),
    "resilience_level": (0, {}),
    "measure_mitigation": (True, {}),
    "measure_twirling": (True, {}),
    "gate_twirling": (True, {}),
    "num_randomizations": (8, {"gate_twirling": True}),
    "zne": (True, {}),
    "zne_factors": ("1,3", {"zne": True}),
    "zne_extrapolators": ("linear", {"zne": True}),
    "zne_amplifier": ("pea", {"zne": True}),
    "pec": (True, {}),
    "pec_max_overhead": (9.0, {"pec": True}),
    "noise_learning_shots": (9, {"pec": True}),
    "noise_learning_randomizations": (9, {"pec": True}),
    "dynamical_decoupling": ("XX", {}),
    "images_per_job": (9, {}),
    "max_execution_time": (9, {}),
    "max_qpu_seconds": (9.0, {}),
    "processes": (1, {}),
    "shot_seed": (9, {}),
}
MITIGATION = {name for name in VALUES if name.startswith(("zne", "pec", "measure", "gate", "resilience"))}
# Said once more, from what each kind of device can do.
MEANT = {
    "exact": set(),
    "shots": {"shots", "processes", "shot_seed"},
    "aer": MITIGATION | {"shots", "processes", "shot_seed", "pack"},
    "fake": MITIGATION | {"shots", "processes", "shot_seed", "pack", "num_randomizations", "dynamical_decoupling"},
    "ibm": set(VALUES) - {"processes", "shot_seed"},
}


def test_the_table_knows_every_setting():
    assert set(VALUES) == set(HardwareConfig.model_fields) - {"backend"}
    assert set().union(*SETTINGS_USED.values()) == set(VALUES)


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("name", VALUES)
def test_each_option_with_each_backend(kind, name):
    value, beside = VALUES[name]
    asked = {"backend": BACKENDS[kind], name: value, **beside}
    options = {f"hardware__{field}": given for field, given in asked.items()}
    unused = set(asked) - {"backend"} - MEANT[kind]
    if not unused:
        assert getattr(hardware_settings(options), name) == value
        return
    with pytest.raises(UsageError) as refused:
        hardware_settings(options)
    assert "has no effect with --backend" in str(refused.value)
    assert {
        field for field in VALUES if option_name(field) in str(refused.value).split(" has ")[0].split(", ")
    } == unused


@pytest.mark.parametrize("name", [name for name, (_, beside) in VALUES.items() if beside])
def test_settings_of_what_is_off_are_refused_too(name):
    off = {"zne": False, "gate_twirling": False, "measure_twirling": False, "measure_mitigation": False}
    config = HardwareConfig(backend="ibm:some", **{**off, name: VALUES[name][0]})
    assert find_unused_settings(config, [name])[name].startswith("without ")


def test_what_mitigation_does_is_what_ibms_client_says():
    """Against the client's own rules, over the product of everything that decides."""
    from qiskit_ibm_runtime.executor_estimator.finalize_options import finalize_estimator_options

    switches = (None, False, True)
    product = itertools.product(
        (0, 1, 2), switches, switches, switches, switches, (False, True), ("gate_folding", "pea")
    )
    tried = 0
    for level, measure, twirl_readout, twirl_gates, zne, pec, amplifier in product:
        try:
            config = HardwareConfig(
                resilience_level=level,
                measure_mitigation=measure,
                measure_twirling=twirl_readout,
                gate_twirling=twirl_gates,
                zne=zne,
                pec=pec,
                zne_amplifier=amplifier,
            )
        except ValidationError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            final = finalize_estimator_options(build_estimator_options(config))
        assert config.uses_trex() == bool(final.resilience.measure_mitigation)
        assert config.twirls_measurements() == bool(final.twirling.enable_measure)
        assert config.twirls_gates() == bool(final.twirling.enable_gates)
        assert config.uses_zne() == bool(final.resilience.zne_mitigation)
        assert config.pec == bool(final.resilience.pec_mitigation)
        tried += 1
    assert tried > 300


def test_extrapolators_need_what_ibms_client_says():
    from qiskit_ibm_runtime.exceptions import IBMInputValueError
    from qiskit_ibm_runtime.executor_estimator.utils import validate_noise_factors

    from qgan_qiskit.config.hardware import MIN_NOISE_FACTORS

    for name, count in itertools.product(MIN_NOISE_FACTORS, range(2, 10)):
        factors = ",".join(str(1 + 2 * number) for number in range(count))
        settings = {"zne": True, "zne_factors": factors, "zne_extrapolators": name}
        try:
            validate_noise_factors([float(one) for one in factors.split(",")], [name])
        except IBMInputValueError:
            with pytest.raises(ValidationError, match=f"{name} requires at least"):
                HardwareConfig(**settings)
        else:
            assert len(HardwareConfig(**settings).noise_factors()) == count


@pytest.mark.parametrize(
    ("factors", "problem"),
    [
        ("1,1,3", "increasing"),
        ("1,1.0,3", "increasing"),
        ("3,1,5", "increasing"),
        ("0.5,1", "at least 1"),
        ("0,1,3", "at least 1"),
        ("1", "at least two"),
        ("", "numbers"),
        ("1,,3", "numbers"),
        ("1,x", "numbers"),
        ("1;3", "numbers"),
        ("1,inf", "numbers"),
        ("1,nan", "numbers"),
        ("-1,3", "numbers"),
        ("1,1e3", "numbers"),
        ("١,٣", "numbers"),
    ],
)
def test_noise_factors_that_cannot_be(factors, problem, main, tmp_path):
    status, _, err = main("generate", tmp_path, "--backend", "fake:manila", "--zne", "--zne-factors", factors)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: --zne-factors: ")
    assert problem in err


@pytest.mark.parametrize(
    "backend",
    ["", "gpu", "aer", "aer:", "ibm:", "fake", "fake:../x", "ibm:a b", "ibm:crn:v1:x", "FAKE:fez", "ibm:ü", "aer:.."],
)
def test_names_of_backends_that_cannot_be(backend, main, tmp_path):
    status, _, err = main("generate", tmp_path, "--backend", backend)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: --backend: ")
    assert "String should match" not in err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QISKIT_IBM_CHANNEL", "ibm_quantum"),
        ("QISKIT_IBM_CHANNEL", "Local"),
        ("QISKIT_IBM_INSTANCE", "ibm-q/open/main"),
        ("QISKIT_IBM_INSTANCE", "crn:v1:bluemix:public:quantum-computing:us-east"),
        ("QISKIT_IBM_INSTANCE", "CRN:v1:bluemix:public:quantum-computing:us-east:a/1:2::"),
        ("QISKIT_IBM_INSTANCE", "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2:: "),
        ("QISKIT_IBM_INSTANCE", " name"),
        ("QISKIT_IBM_INSTANCE", "two\nlines"),
        ("QISKIT_IBM_INSTANCE", "https://cloud.ibm.com"),
    ],
)
def test_names_of_accounts_are_looked_at_before_anybody_is_asked(variable, value, monkeypatch):
    from qgan_qiskit.hardware.ibm import service

    def ask(*_arguments, **_options):
        raise AssertionError("the client was called")

    monkeypatch.setattr(service, "QiskitRuntimeService", ask)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=variable) as refused:
        service.IbmAccount.open()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("mps", "mps does not have"),
        ("mps:0", "mps does not have"),
        ("xla", "cpu, cuda or cuda:N"),
        ("cuda:", "cpu, cuda or cuda:N"),
        ("cuda:-1", "cpu, cuda or cuda:N"),
        ("CPU", "cpu, cuda or cuda:N"),
        ("", "cpu, cuda or cuda:N"),
        ("cuda:١", "cpu, cuda or cuda:N"),
        ("cuda:999", "CUDA devices here"),
    ],
)
def test_devices_that_are_not_there(device, problem, main, tmp_path):
    status, _, err = main("fit", "--device", device, "--outdir", tmp_path / "runs")
    assert (status, err.count("\n")) == (2, 1)
    assert problem in err
    assert not (tmp_path / "runs").exists()
