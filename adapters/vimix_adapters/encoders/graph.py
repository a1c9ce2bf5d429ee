"""The skeleton as a graph: which joints a graph convolution gathers from, in three subsets."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from vimix.values.skeleton import SkeletonLayout

SUBSETS = 3

Hops = Literal["all", "one"]


def spatial_partition(layout: SkeletonLayout, hops: Hops = "all") -> NDArray[np.float32]:
    """ST-GCN's spatial partitioning [3, V, V] (Yan et al. 2018): the share with which joint w gathers from joint v.

    Subset 0 is the joint itself, 1 its neighbours as far from the centre or farther (centrifugal), 2 those nearer
    (centripetal). Shares are 1/degree of w, itself counted, so that every joint gathers 1 in all.

    Distances to the centre are counted along all of the skeleton, as the paper says. The authors' code, and CrosSCLR's,
    counts one step only (``hops="one"``): away from the centre both ends of a bone count as infinitely far, and fall
    into subset 1.
    """
    joints = len(layout.joints)
    near = np.eye(joints, dtype=bool)
    for child, parent in layout.edges:
        near[child, parent] = near[parent, child] = True
    distance = shortest_path(near, unweighted=True, indices=layout.centre)  # [V], in bones
    if hops == "one":
        distance = np.minimum(distance, 2)
    shares = near / near.sum(axis=0)
    own = np.eye(joints, dtype=bool)
    nearer = distance[:, None] < distance[None, :]
    return np.stack([shares * own, shares * (~own & ~nearer), shares * nearer]).astype(np.float32)
