"""What reading takes apart, joined again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codesign
from codesign.errors import CodesignError
from codesign.exporters.placement import Part, joined, placement, stored_shape
from codesign.plugins.manager import plugins
from codesign.weights import StoredTensor
from codesign_dialects.transformer.view import View

LIBRARY = [path for _, path in sorted(plugins().models().items()) if path.parent.name == "library"]
ONE_OF_EACH_FAMILY = {json.loads(path.read_text())["model_type"]: path.stem for path in LIBRARY}


@settings(max_examples=40)
@given(st.data())
def test_parts_that_a_view_takes_make_the_tensor(data) -> None:
    transposed, axis = data.draw(st.booleans()), data.draw(st.integers(0, 2))
    groups, counts = data.draw(st.integers(1, 3)), data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    shape = [data.draw(st.integers(1, 4)) for _ in range(3)]
    shape[axis] = groups * sum(counts)
    stored = (*shape[:-2], *shape[:-3:-1]) if transposed else tuple(shape)
    tensor = np.arange(np.prod(stored), dtype=np.float32).reshape(stored)
    whole = StoredTensor("w", stored, "float32", tensor.reshape(-1).view(np.uint8))
    ends = np.cumsum(counts)
    views = [View(transposed, axis, groups, int(end - count), count) for end, count in zip(ends, counts, strict=True)]
    views = data.draw(st.permutations(views))
    arrays = [whole.part(view).float32() for view in views]
    parts = [Part("w", None, None, array.shape, view) for view, array in zip(views, arrays, strict=True)]
    assert stored_shape(parts) == stored
    np.testing.assert_array_equal(joined(views, arrays), tensor)


def test_a_hole_is_refused() -> None:
    parts = [Part("w", None, None, (2, 5), View(first=first, count=2)) for first in (0, 3)]
    with pytest.raises(CodesignError, match="leave a hole"):
        stored_shape(parts)


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY.values())
def test_every_tensor_of_a_published_model_is_whole(name) -> None:
    program = codesign.load_model(name)
    tensors = placement(program, program.parameters)
    for parts in tensors.values():
        whole = stored_shape(parts)
        assert all(part.view.shape(whole) == part.shape for part in parts)
    numbers = sum(int(np.prod(stored_shape(parts))) for parts in tensors.values())
    assert numbers == program.parameter_count, "each number once"
