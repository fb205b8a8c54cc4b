"""The half of the GPU benchmark that travels: it needs JAX, PyTorch and NumPy, and neither barlowtf nor TensorFlow."""
