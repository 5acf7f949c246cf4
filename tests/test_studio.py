"""The studio without a page: forms become requests and Python, and rounds are drawn in the background."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import RecipeError
from fourier_workbench.generation import Generator, Request, load_generator
from fourier_workbench.widgets import Studio, studio
from fourier_workbench.widgets.studio import MARKS, Form, element_cells, form_request, in_words, request_python

SALT = Crystal(4 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
FORMS = st.builds(
    Form, elements=st.dictionaries(st.sampled_from(["H", "O", "Fe", "Ba", "U"]), st.sampled_from(MARKS), max_size=4),
    others=st.booleans(), formula=st.sampled_from(["", "FeO", "Fe2O3"]), cell=st.booleans(),
    fewest=st.none() | st.integers(1, 9), most=st.none() | st.integers(5, 40), space_group=st.sampled_from([0, 225]),
    crystal_system=st.sampled_from(["", "cubic"]), smallest=st.none() | st.just(9.5), largest=st.none() | st.just(30.0),
    keep=st.sampled_from([(), ("Na",)]), phi=st.sampled_from([0.3, 1.0]),
)  # fmt: skip


@pytest.fixture
def small() -> Studio:
    "A studio of the shipped model, asked for two quick samples."
    view = studio("laptop")
    view.form = asdict(Form({"Li": "required", "O": "required"}, n=2, steps=3))
    return view


@given(FORMS, st.booleans())
def test_the_python_of_a_form_asks_the_same(form: Form, begun: bool) -> None:
    try:
        request = form_request(form, SALT if begun else None)
    except RecipeError:  # refused in `test_requests`
        return
    names = {"Request": Request}
    exec(request_python(form, request), names)
    assert names["request"] == request
    assert in_words(request)
    for mark in ("required", "forbidden"):
        for symbol in form.marked(mark):
            parts = request.parts()
            listed = symbol in parts.get(mark, ()) or (mark == "forbidden" and symbol not in parts.get("allowed", (symbol,)))
            assert listed, f"{symbol} is {mark}, and lost"


def test_every_element_has_a_place_of_its_own() -> None:
    cells = element_cells(83)
    assert len({(cell["row"], cell["column"]) for cell in cells}) == 118
    assert [cell["symbol"] for cell in cells if cell["row"] == 2] == ["Li", "Be", "B", "C", "N", "O", "F", "Ne"]
    assert [cell["column"] for cell in cells if cell["symbol"] in ("Ce", "Lu", "Hf")] == [4, 17, 4]


def test_samples_are_those_of_one_call_and_more_of_them_continue(small: Studio) -> None:
    small.draw()
    small.wait()
    small.form = small.form | {"n": 5}
    small.draw()
    small.wait()
    assert small.rounds == small.rounds | {"shown": 0, "running": False, "done": 5, "of": 5}
    names: dict = {}
    exec(small.code, names)
    assert torch.allclose(names["result"].ladders, small.result.ladders, atol=2e-3)
    assert names["result"].table["met"].tolist() == small.result.table["met"].tolist()
    assert len(small.content["rows"]) == len(small.content["pictures"]) == 5


def test_another_draw_takes_over_and_stop_ends_after_a_portion(small: Studio) -> None:
    small.form = small.form | {"n": 500}
    small.draw()
    small.handle("draw", form=small.form | {"seed": 4, "n": 300})
    small.handle("stop")
    small.wait(60)
    assert not small.rounds["running"]
    assert [each["drawn"] < 50 for each in small.rounds["all"]] == [True, True]
    assert small.rounds["shown"] == 1
    small.handle("show", index=0)
    assert small.form["seed"] == 0
    small.close()


def test_a_fault_while_drawing_is_shown(small: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("no such luck")

    monkeypatch.setattr(Generator, "sample", fail)
    small.draw()
    small.wait()
    assert small.error.startswith("ArithmeticError: no such luck")
    assert not small.rounds["running"]


def test_variations_start_from_the_sample_and_other_wishes_are_dropped(small: Studio) -> None:
    small.form = small.form | {"n": 3}
    small.draw()
    small.wait()
    row = small.picked
    chosen = small.result.crystals[row]
    small.handle("vary", row=row)
    small.wait()
    assert small.error == ""
    assert small.result.request == Request(start=chosen, phi=0.3)
    small.handle("start", row=None)
    assert small.start == {}
    assert small.verdict["asks"] == "nothing in particular"


def test_a_generator_that_is_not_there_is_said() -> None:
    missing = studio("no/such/run")
    assert "no trained model" in missing.error
    missing.handle("draw", form=asdict(Form()))
    assert "no generator" in missing.error
    assert load_generator("laptop").recipe.name in studio("laptop").subtitle
