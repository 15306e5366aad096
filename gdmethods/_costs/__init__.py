"""The costs of a state and of a step in bytes and kernels, from shapes and compilers."""
