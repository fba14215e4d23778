"""Blocks: whatever they are, rotations that do not commute keep their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qgan_qiskit.simulation.llvm.blocking import Block, Subspace, choose_representatives, partition_gates
from qgan_qiskit.simulation.llvm.clifford_frame import PauliString, parity
from qgan_qiskit.simulation.llvm.program import PauliRotation

BITS = 6


@st.composite
def rotations(draw):
    """Rotations whose x_mask and z_mask overlap in an odd number of bits, as those of all rotations do."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(1, 2**BITS - 1), st.integers(1, 2**BITS - 1)).filter(lambda p: parity(p[0] & p[1])),
            max_size=30,
        )
    )
    return [PauliRotation(PauliString(flip, mask, False), index, True) for index, (flip, mask) in enumerate(pairs)]


@settings(max_examples=200, deadline=None)
@given(rotations(), st.integers(1, 5))
def test_blocks_hold_all_rotations_in_a_possible_order(gates, dimensions):
    blocks = partition_gates(gates, dimensions)
    order = [gate for block in blocks for gate in block.rotations]
    assert sorted(gate.angle for gate in order) == list(range(len(gates)))
    for later, gate in enumerate(order):
        for earlier in order[:later]:
            assert earlier.angle < gate.angle or earlier.pauli.commutes(gate.pauli)
    for block in blocks:
        assert 0 < len(block.subspace.basis) <= dimensions
        assert all(not block.subspace.reduce(gate.pauli.x_mask) for gate in block.rotations)


@given(st.lists(st.integers(0, 2**BITS - 1)), st.integers(0, 2**BITS - 1))
def test_subspace(vectors, vector):
    subspace = Subspace(vectors)
    members = {0}
    for base in subspace.basis:
        members |= {member ^ base for member in members}
    assert len(members) == 2 ** len(subspace.basis)
    assert (subspace.reduce(vector) == 0) == (vector in members)
    if vector in members:
        chosen = subspace.coordinates(vector)
        total = 0
        for i, base in enumerate(subspace.basis):
            total ^= base if chosen >> i & 1 else 0
        assert total == vector
    others = subspace.complement([1 << bit for bit in range(BITS)])
    assert len(Subspace([*subspace.basis, *others]).basis) == BITS == len(subspace.basis) + len(others)


@given(rotations().filter(bool), st.lists(st.integers(0, 2**BITS - 1), max_size=4))
def test_representatives_stay_in_their_cosets_and_commute(gates, vectors):
    block: Block = partition_gates(gates, 3)[0]
    changed = choose_representatives(vectors, block)
    for before, after in zip(vectors, changed, strict=True):
        assert not block.subspace.reduce(before ^ after)
    # For a single rotation there is always a solution.
    alone = partition_gates(gates[:1], 3)[0]
    assert all(not parity(vector & gates[0].pauli.z_mask) for vector in choose_representatives(vectors, alone))
