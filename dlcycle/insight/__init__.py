"""Insight: how good a model is, with intervals, against a baseline and in money."""
