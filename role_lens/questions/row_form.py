"""Defines the form in which a benchmark writes its questions down, and reads a row by it.

    form.draft(row)    # the question's text, its options and the key of the right one

The forms themselves are in `role_lens.questions.known_forms`.
"""

import random
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from role_lens.errors import RoleLensError
from role_lens.questions.keys import readings, settle
from role_lens.questions.options import Options, in_order, options_in
from role_lens.rows.fields import first_of, has, is_filled, joined_text, name_of
from role_lens.rows.row import Fields, Row
from role_lens.values import is_missing, shown

PASSAGE = "passage|article|context|narrative"
"""The field of a passage that a question is about."""


@dataclass(frozen=True)
class RowForm:
    """Where the rows of a benchmark have a question's text, its options and its key.

    Names of fields are in lower case, with underscores in the place of spaces. `a|b` is the first
    of the fields `a` and `b` that is filled; `a.b` is the field `b` of what is in the field `a`.
    """

    name: str
    """What a message calls it."""
    text: tuple[str, ...]
    """Fields with the parts of the text. Of these only the last must be filled."""
    options: str = ""
    """The field of the options."""
    columns: str = ""
    """If each option has a field of its own, a pattern of their names."""
    key: str = "answer"
    """The field of the key."""
    right: str = ""
    """The label of the right option, or the name of its column, in forms without a key."""
    labels: tuple[str, ...] = ()
    """What keys call the options, where the row doesn't say it."""
    passage: str = PASSAGE
    """The field of a passage, which comes first where it is filled; empty if the form has none
    beside its text."""
    subject: str = "subject|subject_name|category"
    """The field of the subject."""
    id: str = "id|question_id"
    """The field of the id."""
    is_subject: bool = False
    """Whether the file's name is the subject, as `anatomy_test.csv`."""
    is_shuffled: bool = False
    """Whether the options have no order in the file, so that one is drawn."""

    def fits(self, fields: Fields, *, with_key: bool = True) -> bool:
        """Whether a row with these fields can be of this form."""
        has_key = bool(self.right) or not with_key or has(fields, self.key)
        has_options = has(fields, self.options) if self.options else len(self._columns(fields)) > 1
        return has_key and has_options and all(has(fields, names) for names in self.text)

    def option_fields(self, fields: Fields) -> list[str]:
        """The fields that hold the options of a row; none if it has fewer than two options."""
        if not self.options:
            names = self._columns(fields)
            return names if len(names) > 1 else []
        options = self._listed(fields)
        there = options is not None and len(options.texts) > 1
        return [name_of(fields, self.options)] if there else []

    def draft(self, row: Row) -> "Draft":
        """Text, options and key of a row.

        Raises:
            RoleLensError: a part of them is missing or malformed.
        """
        fields = row.fields
        text = joined_text(fields, self.passage, *self.text)
        options = self._options(fields)
        key = self._key(fields, options)
        ways = readings(key, options)
        return Draft(
            row, fields, text, options, key, ways, has_passage=is_filled(fields, self.passage)
        )

    def _options(self, fields: Fields) -> Options:
        if self.options:
            options = self._listed(fields)
        else:
            names = in_order(self._columns(fields))
            options = Options(tuple(fields[name] for name in names), self.labels, names)
        if options is None:
            name = name_of(fields, self.options)
            value = shown(first_of(fields, self.options))
            raise RoleLensError(f"expected a list of options in the field {name!r}, got {value}")
        if len(options.texts) < 2:
            raise RoleLensError(f"expected at least 2 options, got {len(options.texts)}")
        return options

    def _listed(self, fields: Fields) -> Options | None:
        return options_in(first_of(fields, self.options), is_marked=bool(self.right))

    def _columns(self, fields: Fields) -> list[str]:
        matching = (name for name in fields if self.columns and re.fullmatch(self.columns, name))
        return [name for name in matching if not is_missing(fields[name])]

    def _key(self, fields: Fields, options: Options) -> Any:
        if self.right:
            n = (options.labels or options.columns).count(self.right)
            if self.columns and n == 0:
                raise RoleLensError(f"the field {self.right!r} is empty")
            if n != 1:
                raise RoleLensError(f"expected exactly one right option, got {n}")
            return self.right
        if not has(fields, self.key):
            raise RoleLensError(
                f"there is no answer among the fields {shown([*fields])}: take a part of the "
                f"benchmark with answers, or call its field {name_of(fields, self.key)!r}"
            )
        return first_of(fields, self.key)


@dataclass(frozen=True)
class Draft:
    """What a row says, before it is settled which option its key names."""

    row: Row
    fields: Fields
    text: str
    options: Options
    key: Any
    ways: Mapping[str, int]
    """The ways in which the key can be read -> the index of the right option."""
    has_passage: bool
    """Whether the text begins with a passage."""

    def settled(self, among: Collection[str], *, is_shuffled: bool) -> tuple[list[Any], int]:
        """The options, and the index of the right one.

        Args:
            among: ways in which all keys of the file can be read.
            is_shuffled: whether to draw an order, always the same for a text.

        Raises:
            RoleLensError: the key can be read as two options.
        """
        texts, right = list(self.options.texts), settle(self.key, self.options, self.ways, among)
        if not is_shuffled:
            return texts, right
        order = random.Random(self.text).sample(range(len(texts)), len(texts))
        return [texts[place] for place in order], order.index(right)
