"""Lists the domains of arXiv 2502.12055: which MMLU subjects and which roles belong to each.

    domain_of("econometrics")          # "econ"
    home_domains()["economist"]        # "econ"

A role is judged on the questions of its own domain; other roles and domains can be named.
"""

from collections.abc import Iterable, Mapping, Sequence

from role_lens.errors import RoleLensError, warn
from role_lens.prompts import role_name
from role_lens.questions.question import plain_name
from role_lens.vectors import RoleVectors

MMLU_DOMAINS: dict[str, tuple[str, ...]] = {
    "econ": (
        "econometrics",
        "high_school_macroeconomics",
        "high_school_microeconomics",
        "management",
        "professional_accounting",
    ),
    "eecs": (
        "college_computer_science",
        "electrical_engineering",
        "high_school_computer_science",
    ),
    "law": (
        "international_law",
        "professional_law",
    ),
    "math": (
        "college_mathematics",
        "high_school_mathematics",
        "high_school_statistics",
    ),
    "medicine": (
        "clinical_knowledge",
        "college_medicine",
        "professional_medicine",
    ),
    "natural_science": (
        "college_biology",
        "college_chemistry",
        "college_physics",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_physics",
    ),
    "politics": (
        "high_school_government_and_politics",
        "us_foreign_policy",
    ),
    "psychology": (
        "high_school_psychology",
        "professional_psychology",
    ),
}
"""Domain -> the MMLU subjects that belong to it."""

DOMAIN_ROLES: dict[str, tuple[str, ...]] = {
    "econ": ("economic researcher", "economist", "financial analyst"),
    "eecs": (
        "electronics technician",
        "data scientist",
        "electrical engineer",
        "software engineer",
        "web developer",
    ),
    "law": ("bailiff", "lawyer"),
    "math": ("data analyst", "mathematician", "statistician"),
    "medicine": ("nurse", "doctor", "physician", "dentist", "surgeon"),
    "natural_science": (
        "geneticist",
        "biologist",
        "physicist",
        "teacher",
        "chemist",
        "ecologist",
    ),
    "politics": ("politician", "sheriff", "enthusiast", "partisan"),
    "psychology": ("psychologist",),
}
"""Domain -> the roles that belong to it."""


def domain_of(subject: str) -> str:
    """The domain of an MMLU subject; the subject itself where it belongs to no domain.

    Examples:
        >>> from role_lens.questions import domain_of
        >>> domain_of("econometrics"), domain_of("astronomy")
        ('econ', 'astronomy')
    """
    named = (domain for domain, subjects in MMLU_DOMAINS.items() if subject in subjects)
    return next(named, subject)


def home_domains(domains: Mapping[str, str] | None = None) -> dict[str, str]:
    """Map each role to its own domain: the roles of arXiv 2502.12055, and those of `domains`.

    Args:
        domains: role -> domain; for a role of the paper it replaces the paper's domain.

    Examples:
        >>> from role_lens.questions import home_domains
        >>> homes = home_domains({"poet": "verse"})
        >>> homes["economist"], homes["poet"]
        ('econ', 'verse')
    """
    given = {role: domain for domain, roles in DOMAIN_ROLES.items() for role in roles}
    given |= domains or {}
    return {role_name(role): plain_name(domain) for role, domain in given.items()}


def homes_of(
    vectors: RoleVectors,
    roles: Sequence[str] | None,
    domains: Mapping[str, str] | None,
    asked: Iterable[str] = (),
) -> dict[str, str]:
    """Map each role of some vectors to the domain that it is judged on.

    Args:
        roles: the roles; None for all that the vectors have.
        domains: role -> its domain, beside those of the paper.
        asked: domains of the questions, of which the error message names one as an example.

    Raises:
        RoleLensError: a role that the vectors don't have, or that has no domain.

    Examples:
        >>> from role_lens.questions import homes_of
        >>> homes_of(vectors, ["poet"], {"poet": "verse", "cook": "food"})
        {'poet': 'verse'}
    """
    known = home_domains(domains)
    example = min(asked, default="econ")
    homes = {}
    for role in roles if roles is not None else vectors.roles:
        name = vectors.roles[vectors.role_index(role)]
        if name not in known:
            raise RoleLensError(
                f"role {name!r} has no domain: name the one whose questions it is judged on, such "
                f"as domains={{{name!r}: {example!r}}}, or --role-domains {name!r} {example!r}"
            )
        homes[name] = known[name]
    return homes


def homes_among(
    vectors: RoleVectors,
    roles: Sequence[str] | None,
    domains: Mapping[str, str] | None,
    asked: Iterable[str],
) -> dict[str, str]:
    """Map roles to their domains as `homes_of` does, but leave out roles that have no questions.

    They are left out only if `roles` is None, with a warning that says how many there are.

    Args:
        asked: domains of the questions.

    Raises:
        RoleLensError: no role has its domain among them, and all that `homes_of` raises.

    Examples:
        >>> from role_lens.questions import homes_among
        >>> homes_among(vectors, None, {"poet": "verse", "cook": "food"}, asked=["verse"])
        {'poet': 'verse'}
    """
    known = set(asked)
    homes = homes_of(vectors, roles, domains, known)
    if roles is not None:
        return homes
    found = {role: home for role, home in homes.items() if home in known}
    if not found:
        raise RoleLensError(
            f"no role has its domain among {', '.join(sorted(known))}: name one, such as "
            f"--role-domains {next(iter(homes))!r} {min(known)!r}"
        )
    if left_out := sorted(set(homes.values()) - known):
        warn(
            f"{len(homes) - len(found)} of {len(homes)} roles are left out: there are no questions "
            f"of {', '.join(left_out)}"
        )
    return found
