from ._finder import FINDERS, Directions, Finder, FitData, FitPrompts

__all__ = ["FINDERS", "Directions", "Finder", "FitData", "FitPrompts"]
