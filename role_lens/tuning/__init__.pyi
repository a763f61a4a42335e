from .options import Guards, TuneOptions
from .strengths import Tuned, tune

__all__ = ["Guards", "TuneOptions", "Tuned", "tune"]
