"""Turns the scores of all conditions into effects, tests, and verdicts; and measures how often the
verdicts are wrong, on simulated scores."""
