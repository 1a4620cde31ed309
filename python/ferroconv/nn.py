"""Pooling on arrays, in the layouts of neural networks."""
