"""The training step on a GPU: traced with TensorFlow here, run by JAX beside PyTorch there, collected here."""
