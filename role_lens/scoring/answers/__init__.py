"""Reads the answer that a generated text states: a letter, or a number."""
