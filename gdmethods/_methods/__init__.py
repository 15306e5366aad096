"""The methods, one a file: each with its state, its rule in the paper's lines, its docstring."""
