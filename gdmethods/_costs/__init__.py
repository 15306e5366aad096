"""What a state and a step cost in bytes and kernels, told from shapes and by compilers."""
