"""The gateway: field devices and the mesh on one side, the head-end on the other, nothing lost."""
