"""cnn_jax: classic convnets in JAX and Flax, trained, measured and looked into."""
