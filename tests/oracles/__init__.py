"""The methods once more, each a plain loop in NumPy float64 written from its formulas.

They judge the library, so they share no line with it: an oracle takes the gradients g₁, g₂, … of
one array of weights, in order, and gives back the displacements Δ₁, Δ₂, …
"""
