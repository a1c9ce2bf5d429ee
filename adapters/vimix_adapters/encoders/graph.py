"""The graph of a skeleton, in the three subsets of a graph convolution."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from vimix.values.skeleton import SkeletonLayout

SUBSETS = 3

Hops = Literal["all", "one"]


def spatial_partition(layout: SkeletonLayout, hops: Hops = "all") -> NDArray[np.float32]:
    """ST-GCN's spatial partitioning (Yan et al. 2018): the weight [3, V, V] with which joint w gathers from joint v.

    Subset 0 is the joint itself, subset 1 its neighbours that are at least as far from the centre (centrifugal), subset
    2 those that are nearer (centripetal). The weights of a joint w sum to 1: each is 1/degree of w, itself counted.

    Distances to the centre are counted along the whole skeleton, as in the paper. The code of the authors and of
    CrosSCLR counts one step only (``hops="one"``): both ends of a bone away from the centre then have the same
    distance, and belong to subset 1.
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
