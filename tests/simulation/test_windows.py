"""Windows: whatever they are, rotations that do not commute keep their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qgan_qiskit.simulation.llvm.blocking import Span, Window, deal, steady
from qgan_qiskit.simulation.llvm.clifford_frame import Pairs, parity
from qgan_qiskit.simulation.llvm.program import Gate

BITS = 6


@st.composite
def rotations(draw):
    """Gates whose flip and mask overlap oddly, as those of all rotations do."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(1, 2**BITS - 1), st.integers(1, 2**BITS - 1)).filter(lambda p: parity(p[0] & p[1])),
            max_size=30,
        )
    )
    return [Gate(Pairs(flip, mask, False), index, True) for index, (flip, mask) in enumerate(pairs)]


@settings(max_examples=200, deadline=None)
@given(rotations(), st.integers(1, 5))
def test_windows_hold_all_rotations_in_a_possible_order(gates, dimensions):
    windows = deal(gates, dimensions)
    order = [gate for window in windows for gate in window.gates]
    assert sorted(gate.index for gate in order) == list(range(len(gates)))
    for later, gate in enumerate(order):
        for earlier in order[:later]:
            assert earlier.index < gate.index or earlier.pairs.commutes(gate.pairs)
    for window in windows:
        assert 0 < len(window.span.basis) <= dimensions
        assert all(not window.span.rest(gate.pairs.flip) for gate in window.gates)


@given(st.lists(st.integers(0, 2**BITS - 1)), st.integers(0, 2**BITS - 1))
def test_span(vectors, vector):
    span = Span(vectors)
    members = {0}
    for base in span.basis:
        members |= {member ^ base for member in members}
    assert len(members) == 2 ** len(span.basis)
    assert (span.rest(vector) == 0) == (vector in members)
    if vector in members:
        chosen = span.coordinates(vector)
        total = 0
        for i, base in enumerate(span.basis):
            total ^= base if chosen >> i & 1 else 0
        assert total == vector
    others = span.complement([1 << bit for bit in range(BITS)])
    assert len(Span([*span.basis, *others]).basis) == BITS == len(span.basis) + len(others)


@given(rotations().filter(bool), st.lists(st.integers(0, 2**BITS - 1), max_size=4))
def test_steady_vectors_stay_in_their_cosets_and_keep_pairs(gates, vectors):
    window: Window = deal(gates, 3)[0]
    changed = steady(vectors, window)
    for before, after in zip(vectors, changed, strict=True):
        assert not window.span.rest(before ^ after)
    # A single rotation's pairs can always be kept.
    alone = deal(gates[:1], 3)[0]
    assert all(not parity(vector & gates[0].pairs.mask) for vector in steady(vectors, alone))
