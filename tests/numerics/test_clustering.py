"""Clusters of equal size, on planted ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.numerics.clustering import balanced_clusters


@settings(max_examples=25)
@given(count=st.integers(1, 6), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_cluster_has_as_many_rows(count: int, size: int, seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((count * size, 5)).astype(np.float32)
    labels = balanced_clusters(features, count)
    assert np.bincount(labels, minlength=count).tolist() == [size] * count
    np.testing.assert_array_equal(labels, balanced_clusters(features, count))


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_point_the_same_way_stand_together(seed: int) -> None:
    random = np.random.default_rng(seed)
    planted = random.permutation(np.repeat([0, 1], 10))
    directions = np.eye(2, 6)[planted] * random.uniform(0.5, 3, (20, 1))
    labels = balanced_clusters((directions + 0.05 * random.standard_normal((20, 6))).astype(np.float32), 2)
    assert np.array_equal(labels, planted) or np.array_equal(1 - labels, planted)


def test_rows_that_point_nowhere_have_a_place_too() -> None:
    assert sorted(balanced_clusters(np.zeros((6, 3), np.float32), 3).tolist()) == [0, 0, 1, 1, 2, 2]


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="7 rows do not divide into 2 clusters"):
        balanced_clusters(np.ones((7, 2), np.float32), 2)
