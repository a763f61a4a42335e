"""Lists the things of one kind that live in a folder, one file each, and imports them by name.

    FINDERS = Registry("role_lens.finders", "find", "finder")
    FINDERS.names        # ("means", "pca", …): the names of the files
    FINDERS["means"]     # the function `find` of that file

To add a thing is to add a file. Files whose names begin with an underscore are helpers, and are not
listed. A file is imported only when its thing is asked for by name.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from typing import Generic, TypeVar

from role_lens.errors import RoleLensError
from role_lens.values import shown

Thing = TypeVar("Thing")


class Registry(Generic[Thing]):
    """The things of one kind, by name.

    Args:
        package: the folder, as a dotted name.
        attribute: what each of its files calls its thing.
        what: the kind, as error messages call it.
    """

    def __init__(self, package: str, attribute: str, what: str) -> None:
        self._package = package
        self._attribute = attribute
        self._what = what
        self._things: dict[str, Thing] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all things, sorted. Nothing is imported for them."""
        spec = importlib.util.find_spec(self._package)
        folders = spec.submodule_search_locations if spec is not None else None
        found = (module.name for module in pkgutil.iter_modules(folders))
        return tuple(sorted(name for name in found if not name.startswith("_")))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.names

    def check(self, name: object) -> None:
        """Raise a RoleLensError unless there is a thing of this name."""
        if name not in self:
            raise RoleLensError(
                f"unknown {self._what} {shown(name)}: expected one of {', '.join(self.names)}"
            )

    def __getitem__(self, name: str) -> Thing:
        """The thing of this name, imported.

        Raises:
            RoleLensError: there is none; the message lists those that there are.
        """
        if not isinstance(name, str) or name not in self._things:
            self.check(name)
            module = importlib.import_module(f"{self._package}.{name}")
            self._things[name] = getattr(module, self._attribute)
        return self._things[name]
