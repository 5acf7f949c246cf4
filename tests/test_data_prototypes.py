"""Decorated prototypes: deterministic, charge-balanced, of the volume that pymatgen predicts."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from fourier_workbench.data.sources import prototypes as p


@pytest.fixture(scope="module")
def decorated():
    return list(p.decorated())


def test_decorated_is_large_and_varied(decorated):
    assert len(decorated) >= 5000
    assert len({properties["prototype"] for _, _, properties in decorated}) >= 40
    assert len({z for _, crystal, _ in decorated for z in crystal.species}) >= 40
    assert len({name for name, _, _ in decorated}) == len(decorated)
    assert all(len(crystal) <= 10 and set(crystal.species) <= set(p.ELEMENTS) for _, crystal, _ in decorated)


def test_every_ionic_decoration_balances_its_charges():
    for proto in p.prototypes():
        if proto.kind != "ionic":
            continue
        assert sum(q * n for q, n in zip(proto.charges, proto.counts, strict=True)) == 0
        for elements in p.compositions(proto):
            negativity = [p._traits(z).negativity for z in elements]
            anions = [x for x, q in zip(negativity, proto.charges, strict=True) if q < 0]
            cations = [x for x, q in zip(negativity, proto.charges, strict=True) if q > 0]
            assert max(cations) < min(anions)
            states = [sorted(p._traits(z).states | {q}) for z, q in zip(elements, proto.charges, strict=True)]
            assert p._balanced(elements, proto.counts, states)


def test_other_decorations_keep_the_kind_of_each_element():
    for proto in p.prototypes():
        if proto.kind != "ionic":
            for elements in p.compositions(proto):
                kinds = [[p._traits(z).kind for z in chosen] for chosen in (elements, proto.elements)]
                assert kinds[0] == kinds[1]


def test_prototypes_take_turns(decorated):
    first = Counter(properties["prototype"] for _, _, properties in decorated[: len(p.prototypes())])
    assert max(first.values()) <= 2  # prototypes with few compositions drop out early, nobody comes thrice


def test_the_order_is_the_same_on_every_machine(decorated):
    chemistry = "".join(name for name, _, _ in decorated[:2000:97])
    again = "".join(name for name, _, _ in list(p.decorated())[:2000:97])
    assert chemistry == again
    assert p._stable_hash("AB_cF8_225_a_b", 11, 17) == hashlib.blake2b(b"AB_cF8_225_a_b|11|17", digest_size=8).digest()


@given(st.data())
def test_volumes_are_those_of_pymatgens_predictor(data):
    proto = data.draw(st.sampled_from([proto for proto in p.prototypes() if len(proto.role) <= 6]))
    known = p.compositions(proto)
    if known:
        elements = data.draw(st.sampled_from(known))
        crystal = proto.decorate(elements)
        # at the predicted volume the predictor has nothing to change
        predicted = DLSVolumePredictor(min_scaling=None, max_scaling=None).predict(crystal.to_structure())
        assert np.isclose(predicted, crystal.volume, rtol=1e-6)


@given(st.sampled_from(p.ELEMENTS), st.sampled_from(p.ELEMENTS))
def test_dissimilarity_is_symmetric_and_zero_for_the_same_only(a, b):
    assert p.dissimilarity(a, b) == pytest.approx(p.dissimilarity(b, a))
    assert (p.dissimilarity(a, b) == 0) == (a == b)


def test_embedded_prototypes_are_real_crystals():
    entries = list(p.embedded())
    assert len(entries) == 288
    assert max(np.bincount(crystal.numbers).max() for _, crystal, _ in entries) == 105
    assert any(crystal.reduced_formula == "NaCl" for _, crystal, _ in entries)
    assert all(Element.from_Z(int(z)) for _, crystal, _ in entries for z in crystal.species)
