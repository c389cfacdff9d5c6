"""The experiments that judge the mesh against what its graph allows (docs/mesh-results.md)."""
