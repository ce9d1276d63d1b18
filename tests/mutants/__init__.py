"""Bugs put into a copy of the tree, one at a time: each must be noticed by a test of the normal suite."""
