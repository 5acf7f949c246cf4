"For tests that compare ladders: samples whose ladders are drawn as ever, and in which no crystal is sought."

from fourier_workbench.generation import RecoveryOptions

# Seeking the crystals of an untrained network, which are large and nowhere near the grid, takes longer than drawing them.
UNSOUGHT = RecoveryOptions(max_atoms=1, symmetry=False)
