"""The Dispatch page inside stock Flower."""
