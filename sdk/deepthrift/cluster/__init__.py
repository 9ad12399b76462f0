"""Batches on the machines of a Ray cluster. Needs `deepthrift[ray]`."""

from deepthrift.cluster._cluster import RayCluster

__all__ = ["RayCluster"]
