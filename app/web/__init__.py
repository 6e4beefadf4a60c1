"""The HTTP edge. Handlers translate; they decide nothing."""
