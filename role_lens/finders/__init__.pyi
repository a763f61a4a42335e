from ._finder import FINDERS, Finder, FitData, FitPrompts

__all__ = ["FINDERS", "Finder", "FitData", "FitPrompts"]
