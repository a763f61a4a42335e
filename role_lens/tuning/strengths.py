"""Measures what a patch does to texts at one strength after another, and chooses one.

    tuned = tune(model, vectors.add("economist", layer=22), "tuned", role="economist")
    tuned.table, tuned.patches

`role_lens.tuning.search` says which strengths are tried.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from tqdm.auto import tqdm

from role_lens.checks import check_is
from role_lens.compute import Compute
from role_lens.errors import RoleLensError, first_line
from role_lens.experiments.store import ARRAY, TABLE, Store, claimed
from role_lens.files import write_table
from role_lens.generation import Sampling, complete
from role_lens.judges.likelihood import PERSONA_QUESTIONS, role_likelihoods
from role_lens.judges.steered_texts import fluency, repetition
from role_lens.models import Model
from role_lens.patches.kind import KINDS
from role_lens.patches.patch import Combined, Patches, combined
from role_lens.prompts import load_prompts, load_roles, role_name, spread
from role_lens.scoring.divergence import answer_logprobs, kl_divergence
from role_lens.scoring.identity import content_hash, hash_of_patches, model_identity
from role_lens.tuning.options import TuneOptions
from role_lens.tuning.search import best, search

Score = Callable[[Sequence[str]], Sequence[float]]
"""Gives each text a number, more being better."""
_NEUTRAL_STEP = 8
_WORST = 20  # a twentieth


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was found at all strengths, and which one is chosen.

    Examples:
        >>> import pandas as pd
        >>> from role_lens.tuning import Tuned
        >>> given = (vectors.add("poet", layer=1),)
        >>> Tuned(2.5, "kl", given, pd.DataFrame(), pd.DataFrame()).patches
        (Patch(add, layers [1], value 2.5, tokens all, |d| ...),)
    """

    strength: float | None
    """The strength that is chosen, a multiple of the patch; None if none within the guards comes
    nearer to the aim than no patch does."""
    ended_by: str
    """The guard that breaks first: `kl`, `kl_worst`, `repetition`, `fluency_loss` or `cut_off`.
    Empty if all that was tried is within the guards."""
    given: Combined
    """The patches at strength 1."""
    table: pd.DataFrame
    """One row per strength: `strength`, `aim` (minus the role's mean rank, or the score's mean),
    `aim_se` (standard error of its difference from no patch, over prompts), `kl`, `kl_worst`,
    `repetition`, `fluency_loss`, `cut_off` (see `Guards`; the last three in excess of no patch),
    `fluency`, `broken` and `chosen`."""
    texts: pd.DataFrame
    """One row per strength and prompt: `strength`, `prompt`, `text`, `cut_off`, `repetition`,
    `fluency` (nats per token) and `aim`."""

    @property
    def patches(self) -> Combined:
        """The patches at the strength that is chosen.

        Raises:
            RoleLensError: none is.
        """
        if self.strength is None:
            raise RoleLensError(
                "no strength is chosen: none that was tried within the guards brings more of what "
                "is wanted than no patch does"
            )
        return scaled(self.given, self.strength)


def tune(
    model: Model,
    patches: Patches,
    out: str | Path,
    *,
    role: str | None = None,
    score: Score | None = None,
    options: TuneOptions = TuneOptions(),
    compute: Compute = Compute(),
) -> Tuned:
    """Find the strength of a patch, or of several together, that does most within the guards.

    The strength is doubled until a guard breaks, the interval is halved in which it does, and of
    all strengths below the one that comes nearest to the aim is chosen. At each, prompts are
    answered and neutral ones are read.

    Args:
        model: any model of `load_model`.
        patches: additions: one, or several that act together. Strength multiplies their
            coefficients.
        out: run folder: a new one, or one of the same patches, role, prompts and sampling, which
            goes on where it was stopped. `strengths.parquet` and `texts.parquet` are written there.
        role: whose rank among the built-in roles is the aim: the role judge (the unpatched model)
            says how much likelier each role's name becomes from the plain answer to a prompt to the
            steered one, and roles are ranked by that.
        score: what is the aim in the place of a role's rank, from the texts that were written. It
            is computed anew each time.
        options: guards, prompts, and how finely is looked.
        compute: batches and progress.

    Raises:
        RoleLensError: not one of role and score; a patch of which there is no more and less, such
            as an ablation or a clamp, one of coefficient 0, or one of another model; a folder of
            something else.

    Examples:
        >>> from role_lens.tuning import Guards, TuneOptions, tune
        >>> none = Guards(None, None, None, None, None)
        >>> few = TuneOptions(prompts=("Tea?",), neutral=("Why?",), most=2.0, guards=none)
        >>> tuned = tune(
        ...     model,
        ...     vectors.add("poet", layer=1),
        ...     folder / "tuned",
        ...     score=lambda texts: [float(len(text)) for text in texts],
        ...     options=few,
        ...     compute=Compute(progress=False),
        ... )
        >>> {0.0, 1.0, 2.0} <= {*tuned.table["strength"]}, tuned.ended_by
        (True, '')

    Source: KL guards as in Arditi et al. 2024, arXiv 2406.11717.
    """
    several = tunable(patches)
    check_is(options, TuneOptions, "options")
    if (role is None) == (score is None):
        raise RoleLensError("one thing to aim at: name a role, or hand in a score of texts")
    for patch in several:
        patch.check(model)
    inside = replace(compute, progress=False)
    asked = _Asked(model, several, None if role is None else role_name(role), options, inside)
    bar = tqdm(desc="strengths", unit="", disable=not compute.progress)
    with claimed(out, asked.identity()) as store, bar:

        def trial(strength: float) -> _Trial:
            found = _trial(asked, store, score, strength)
            bar.update()
            return found

        trials = search(trial, options)
        chosen = best(trials)
        table = pd.DataFrame([one.row() for one in trials.values()])
        table["chosen"] = table["strength"] == chosen
        texts = pd.concat([one.texts for one in trials.values()], ignore_index=True)
        write_table(store.path / "strengths.parquet", table)
        write_table(store.path / "texts.parquet", texts)
    ended = next((one.broken for one in trials.values() if one.broken), "")
    return Tuned(chosen, ended, several, table, texts)


def tunable(patches: Patches) -> Combined:
    """The patches, if there is more and less of each.

    Raises:
        RoleLensError: there is none, or one has no strength.
    """
    several = combined(patches)
    if not several:
        raise RoleLensError("expected a patch to tune, got None: that is the unchanged model")
    for patch in several:
        if not KINDS[patch.kind].has_strength:
            raise RoleLensError(
                f"a patch of kind {patch.kind!r} has no strength: tune an addition or a rotation"
            )
        if patch.gate is not None:
            raise RoleLensError(
                "the patch is behind a gate, which opens for few of the prompts here: tune "
                "patch.behind(None), and put what is found behind the gate"
            )
        if patch.value == 0:
            raise RoleLensError("the patch's number is 0: no strength of it changes anything")
    return several


def scaled(patches: Combined, strength: float) -> Combined:
    """The same patches, with their numbers multiplied."""
    return tuple(replace(patch, value=strength * patch.value) for patch in patches)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked at every strength."""

    model: Model
    patches: Combined
    role: str | None
    options: TuneOptions
    compute: Compute

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        given = self.options.prompts
        everyday = spread(load_prompts("builtin"), self.options.n_prompts)
        return (*everyday, *PERSONA_QUESTIONS) if given is None else given

    @cached_property
    def neutral(self) -> tuple[str, ...]:
        given = self.options.neutral
        return tuple(load_prompts("builtin")[::_NEUTRAL_STEP]) if given is None else given

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Names among which the role is ranked."""
        return tuple(sorted({*map(role_name, load_roles("builtin")), self.role or ""} - {""}))

    @cached_property
    def before(self) -> Float[Tensor, "prompt d_vocab"]:
        """What the unpatched model says to the neutral prompts."""
        return answer_logprobs(self.model, self.neutral, max_tokens=self.compute.max_tokens)

    def identity(self) -> dict[str, Any]:
        """What all results have in common."""
        texts_alone = ("max_new_tokens", "temperature", "seed")
        asked = {name: getattr(self.options, name) for name in texts_alone}
        return {
            "run": "tune",
            **model_identity(self.model),
            "patches": hash_of_patches(self.patches),
            "role": self.role,
            **asked,
            "prompts": content_hash(list(self.prompts)),
            "neutral": content_hash(list(self.neutral)),
        }

    def texts(self, strength: float) -> pd.DataFrame:
        """The answers at a strength, and what is to be said of each."""
        options = self.options
        found = complete(
            self.model,
            list(self.prompts),
            patch=scaled(self.patches, strength) if strength else None,
            max_new_tokens=options.max_new_tokens,
            sampling=Sampling(options.temperature, options.seed),
        )
        texts = [one.text for one in found]
        return pd.DataFrame(
            {
                "strength": strength,
                "prompt": self.prompts,
                "text": pd.array(texts, dtype="string"),
                "cut_off": [one.truncated for one in found],
                "repetition": [repetition(text) for text in texts],
                "fluency": fluency(self.model, self.prompts, texts, compute=self.compute),
            }
        )

    def likelihoods(self, texts: Sequence[str]) -> Float[ndarray, "text role"]:
        """Of each role's name, for each text; an empty one is about nobody."""
        found = np.full((len(texts), len(self.roles)), np.nan)
        written = [i for i, text in enumerate(texts) if text.strip()]
        if written:
            some = [texts[i] for i in written]
            found[written] = role_likelihoods(self.model, some, self.roles, compute=self.compute)
        return found

    def kl(self, strength: float) -> Float[ndarray, " prompt"]:
        """KL divergence of the first answer token to each neutral prompt, in nats."""
        if not strength:
            return np.zeros(len(self.neutral))
        after = answer_logprobs(
            self.model,
            self.neutral,
            scaled(self.patches, strength),
            max_tokens=self.compute.max_tokens,
        )
        return kl_divergence(self.before, after).double().numpy()


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a strength does."""

    strength: float
    texts: pd.DataFrame
    aim_se: float
    costs: dict[str, float]
    broken: str

    @property
    def aim(self) -> float:
        """Mean over texts."""
        return float(self.texts["aim"].mean())

    def row(self) -> dict[str, Any]:
        """As the table has it."""
        return {
            "strength": self.strength,
            "aim": self.aim,
            "aim_se": self.aim_se,
            **self.costs,
            "fluency": float(self.texts["fluency"].mean()),
            "broken": self.broken,
        }


def _trial(asked: _Asked, store: Store, score: Score | None, strength: float) -> _Trial:
    """Try a strength, or read what was found when it was tried before."""

    def kept(at: float) -> pd.DataFrame:
        return store.keep(f"texts-{at!r}.parquet", partial(asked.texts, at), TABLE)

    plain, texts = kept(0.0), kept(strength)
    kl = store.keep(f"kl-{strength!r}.npy", partial(asked.kl, strength), ARRAY)
    costs = {
        "kl": float(kl.mean()),
        "kl_worst": float(np.sort(kl)[-math.ceil(len(kl) / _WORST) :].mean()),
        "repetition": float(texts["repetition"].mean() - plain["repetition"].mean()),
        "fluency_loss": float(plain["fluency"].mean() - texts["fluency"].mean()),
        "cut_off": float(texts["cut_off"].mean() - plain["cut_off"].mean()),
    }
    before, after = (one["text"].astype(str).tolist() for one in (plain, texts))
    if score is None:
        plain_said, said = (
            store.keep(f"likelihoods-{at!r}.npy", partial(asked.likelihoods, some), ARRAY)
            for at, some in ((0.0, before), (strength, after))
        )
        aims = [-_ranks(plain_said, said, asked.roles.index(str(asked.role)))]
        aims.append(np.full(len(before), -(len(asked.roles) + 1) / 2))
    else:
        aims = [_scores(score, some) for some in (after, before)]
    apart = aims[0] - aims[1]
    se = float(apart.std(ddof=1) / math.sqrt(len(apart))) if len(apart) > 1 else math.nan
    texts = texts.assign(aim=aims[0])
    return _Trial(strength, texts, se, costs, asked.options.guards.broken(costs))


def _ranks(
    before: Float[ndarray, "text role"], after: Float[ndarray, "text role"], own: int
) -> Float[ndarray, " text"]:
    """A role's rank by what the steered answer adds to each name's likelihood, of equals their
    mean rank; the last for an empty answer."""
    added = after - np.nan_to_num(before)
    mine = added[:, [own]]
    rank = 1 + (added > mine).sum(axis=1) + ((added == mine).sum(axis=1) - 1) / 2
    return np.where(np.isnan(mine[:, 0]), added.shape[1], rank)


def _scores(score: Score, texts: Sequence[str]) -> Float[ndarray, " text"]:
    try:
        found = np.asarray(score(texts), dtype=float)
    except (TypeError, ValueError) as error:
        raise RoleLensError(f"the score of texts can't be taken: {first_line(error)}") from error
    if found.shape != (len(texts),) or not np.isfinite(found).all():
        bad = "" if found.shape != (len(texts),) else f" with {found[~np.isfinite(found)][0]}"
        raise RoleLensError(
            f"the score must give each of {len(texts)} texts a finite number, got shape "
            f"{found.shape}{bad}"
        )
    return found
