"""Simulated meters, the radio, the world they live in, and the demo."""
