"""Clusters of equal size."""

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.float32 import Floats

ITERATIONS = 12


def balanced_clusters(features: Floats, count: int) -> NDArray[np.int64]:
    """The cluster of each row of `features` ``[rows, dimensions]``, every one of `count` clusters with as many rows.

    Balanced k-means (Malinen and Fränti, 2014) by cosine, its assignment in rounds: each row asks for the nearest
    cluster that has room, which takes the nearest of those that ask. The same rows give the same clusters.
    """
    rows = len(features)
    if count < 1 or rows % count:
        raise ValueError(f"{rows} rows do not divide into {count} clusters")
    scale = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(scale, np.finfo(np.float32).tiny)
    centers = unit[np.random.default_rng(0).permutation(rows)[:count]]
    labels = np.zeros(rows, np.int64)
    for _ in range(ITERATIONS):
        previous, labels = labels, _assigned(unit @ centers.T)
        if np.array_equal(previous, labels):
            break
        members = unit[np.argsort(labels, kind="stable")].reshape(count, rows // count, -1)
        centers = members.mean(axis=1)
        centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return labels


def _assigned(similarity: Floats) -> NDArray[np.int64]:
    rows, count = similarity.shape
    labels, room = np.full(rows, -1, np.int64), np.full(count, rows // count)
    while (free := np.flatnonzero(labels < 0)).size:
        asked = np.where(room > 0, similarity[free], -np.inf).argmax(axis=1)
        for cluster in np.unique(asked).tolist():
            asking = free[asked == cluster]
            taken = asking[np.argsort(-similarity[asking, cluster], kind="stable")[: room[cluster]]]
            labels[taken] = cluster
            room[cluster] -= len(taken)
    return labels
