"""Optimizers: ways to look for better programs, one file each. See `thalweg.optimizing`."""
