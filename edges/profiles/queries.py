"""A query in harmonised words, said in a site's native ones. Pure.

What is said is exact, in three-valued logic too, or it is left out and the caller evaluates it: at ``and`` the other
parts still go to the site, since all that is lost is narrowness.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edges.model import Fields, Frozen, Json, Query, SortKey
from edges.profiles.conversions import Conversion, SameValue, conversion_of
from edges.profiles.model import Profile, PropertyRule
from edges.profiles.predicates import (
    NoNativeWords,
    always,
    both,
    by_cases,
    either,
    is_null,
    negated,
    never,
    one_of,
    renamed,
)
from edges.stac.cql2 import compile_filter, property_names
from edges.stac.order import field_path

_COLLECTION = "collection"
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


class NativeQuery(Frozen):
    """A query for the site. ``exact``: its matches are those of the harmonised query, and no others."""

    query: Query
    exact: bool


class QueryWords:
    """Translates queries by one profile, whose rules are read once."""

    def __init__(self, profile: Profile) -> None:
        self._ids = CollectionIds(profile.collections)
        self._rules: dict[str, list[PropertyRule]] = {}
        self._conversions: dict[tuple[str, tuple[str, ...]], Conversion] = {}
        self._assets = [(rule, {ours: native for native, ours in rule.keys.items()}) for rule in profile.assets]
        for rule in profile.properties:
            self._conversions[rule.native, rule.collections] = conversion_of(rule)
            names = {rule.target, rule.native} if rule.moves and not rule.keep else {rule.target}
            for name in names:
                self._rules.setdefault(name, []).append(rule)
        self.unsortable = frozenset(name for name in self._rules if self._direction(name) == 0)

    @property
    def ids(self) -> "CollectionIds":
        """Return the collection ids, both ways."""
        return self._ids

    def changes(self, name: str) -> bool:
        """Tell whether a property (or ``collection``) has another name or other values at the site."""
        return name in self._rules or (name == _COLLECTION and self._ids.renamed)

    def native(self, query: Query) -> NativeQuery:
        """Return the query in native words. A sort key whose order is not the site's leaves the order to the caller."""
        collections = None if query.collections is None else self._ids.natives(query.collections)
        filter_, exact = self._filter(query.filter, collections)
        asked = msgspec.structs.replace(
            query,
            collections=collections,
            filter=filter_,
            sortby=self._sortby(query.sortby),
            fields=self._fields(query.fields),
        )
        return NativeQuery(query=asked, exact=exact)

    def _filter(self, filter_: Json | None, collections: tuple[str, ...] | None) -> tuple[Json | None, bool]:
        if filter_ is None:
            return None, True
        translation = _Translation(self, collections)
        try:
            return translation.weakened(filter_), translation.exact
        except NoNativeWords:
            return None, False

    def rules(self, name: str) -> list[PropertyRule]:
        """Return the rules that a predicate on this property must obey."""
        return self._rules.get(name, [])

    def conversion(self, rule: PropertyRule) -> Conversion:
        """Return how a rule changes values."""
        return self._conversions[rule.native, rule.collections]

    def _sortby(self, sortby: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
        if any(field_path(key.field) in self.unsortable for key in sortby):
            return ()
        return tuple(self._sort_key(key) for key in sortby)

    def _sort_key(self, key: SortKey) -> SortKey:
        rules = self._rules.get(field_path(key.field))
        if not rules:
            return key
        reverse = self._direction(field_path(key.field)) < 0
        return SortKey(field=rules[0].native, descending=key.descending is not reverse)

    def _direction(self, name: str) -> int:
        """Return 1 where the site can sort by this for us, -1 where it does by the reverse, 0 where it cannot."""
        (rule, *more) = self._rules[name]
        if more or rule.collections or name != rule.target or (rule.moves and not rule.exclusive):
            return 0
        return self.conversion(rule).order

    def _fields(self, fields: Fields | None) -> Fields | None:
        """Ask for all that ours is made of; leave out only what nothing of ours is made of."""
        if fields is None:
            return None
        return Fields(
            include=_distinct(native for path in fields.include for native in self._paths(path)),
            exclude=tuple(path for path in fields.exclude if self._paths(path) == [path]),
        )

    def _paths(self, path: str) -> list[str]:
        if path.startswith("assets."):
            key, dot, rest = path.removeprefix("assets.").partition(".")
            natives = [names[key] for _, names in self._assets if key in names]
            return [path, *(f"assets.{native}{dot}{rest}" for native in natives)]
        bare = path.removeprefix("properties.")
        return [path, *(f"properties.{rule.native}" for rule in self._rules.get(bare, []) if rule.moves)]


class CollectionIds:
    """Native and harmonised ids of collections; two native ones may share a harmonised one."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._ours = {native: ours for native, ours in names.items() if native != ours}
        self._natives: dict[str, list[str]] = {}
        for native, ours in names.items():
            self._natives.setdefault(ours, []).append(native)

    @property
    def renamed(self) -> bool:
        """Tell whether any id changes."""
        return bool(self._ours)

    def ours(self, native: str) -> str:
        """Return the harmonised id."""
        return self._ours.get(native, native)

    def native(self, ours: str) -> list[str]:
        """Return the native ids; none where the id is a native one that goes by another name here."""
        return self._natives.get(ours, [] if ours in self._ours else [ours])

    def natives(self, ours: Iterable[str]) -> tuple[str, ...]:
        """Return the native ids of many."""
        return _distinct(native for each in ours for native in self.native(each))

    def predicate(self, node: Json) -> Json:
        """Say of native ids what a predicate says of harmonised ones."""
        args = node["args"]
        if node["op"] in ("=", "in") and args[0] == {"property": _COLLECTION} and _are_texts(args[1]):
            natives = self.natives(args[1] if isinstance(args[1], list) else [args[1]])
            return one_of(_COLLECTION, natives) if natives else never(_COLLECTION, "")
        holds = compile_filter(node)
        return by_cases(_COLLECTION, {native: holds({_COLLECTION: ours}) for native, ours in self._ours.items()}, node)


class _Translation:
    """One filter being translated, for the native collections that the query is limited to (None for all)."""

    def __init__(self, words: QueryWords, collections: tuple[str, ...] | None) -> None:
        self._words = words
        self._collections = collections
        self.exact = True

    def weakened(self, node: Json) -> Json:
        """Return what is true at least where the node is; inner parts that cannot be said are left out.

        Raises:
            NoNativeWords: nothing of it can be said.
        """
        if node.get("op") == "and":
            return both(*self._sayable(node["args"]))
        if node.get("op") == "or":
            return either(*(self.weakened(arg) for arg in node["args"]))
        return dict(self._said(node))

    def _sayable(self, parts: list[Any]) -> list[Json]:
        said = []
        for part in parts:
            try:
                said.append(self.weakened(part))
            except NoNativeWords:
                self.exact = False
        if not said:
            raise NoNativeWords
        return said

    def _said(self, node: Any) -> Any:
        if isinstance(node, dict) and node.get("op") in ("and", "or", "not"):
            return {"op": node["op"], "args": [self._said(arg) for arg in node["args"]]}
        names = property_names(node)
        mapped = [name for name in names if self._applies(name)]
        if not mapped:
            return node
        if len(names) == 1 and isinstance(node, dict) and "op" in node:
            return self._predicate(node, mapped[0])
        return self._substituted(node, mapped)

    def _applies(self, name: str) -> bool:
        return bool(self._rules(name)) or (name == _COLLECTION and self._words.changes(name))

    def _rules(self, name: str) -> list[PropertyRule]:
        asked = self._collections
        return [
            rule
            for rule in self._words.rules(name)
            if not rule.collections or asked is None or set(rule.collections) & set(asked)
        ]

    def _predicate(self, node: Json, name: str) -> Json:
        if name == _COLLECTION:
            return self._words.ids.predicate(node)
        rules = self._rules(name)
        if len(rules) == 1 and self._is_for_all(rules[0]):
            return self._by_rule(node, name, rules[0])
        scoped = [native for rule in rules for native in rule.collections]
        cases = [both(one_of(_COLLECTION, rule.collections), self._by_rule(node, name, rule)) for rule in rules]
        return either(*cases, both(negated(one_of(_COLLECTION, scoped)), node))

    def _is_for_all(self, rule: PropertyRule) -> bool:
        return not rule.collections or (
            self._collections is not None and set(self._collections) <= set(rule.collections)
        )

    def _by_rule(self, node: Json, name: str, rule: PropertyRule) -> Json:
        if name != rule.target:
            return self._of_moved(node, rule)
        said = self._converted(node, rule)
        if not rule.moves or rule.exclusive:
            return said
        # An item with both names keeps its own value of ours.
        return either(both(is_null(rule.target), said), both(negated(is_null(rule.target)), node))

    def _of_moved(self, node: Json, rule: PropertyRule) -> Json:
        """Say what holds of a native name that items of ours no longer have."""
        if node["op"] == "isNull":
            return always(rule.native) if rule.exclusive else either(node, is_null(rule.target))
        self.exact = False  # unknown there; false here, which differs below a `not`
        if rule.exclusive:
            return never(rule.native, _literal_of(node))
        return both(negated(is_null(rule.target)), node)

    def _converted(self, node: Json, rule: PropertyRule) -> Json:
        conversion, name, args = self._words.conversion(rule), rule.native, node["args"]
        sign = node["op"]
        if sign == "isNull":
            return is_null(name)
        own = {"property": rule.target}
        if sign == "between" and args[0] == own and not _has_objects(args[1:]):
            return both(conversion.compare(">=", name, args[1]), conversion.compare("<=", name, args[2]))
        if sign == "in" and args[0] == own and not _has_objects(args[1]):
            return conversion.among(name, args[1])
        if sign in _FLIPPED and args[0] == own and not _has_objects(args[1:]):
            return conversion.compare(sign, name, args[1])
        if sign in _FLIPPED and args[1] == own and not _has_objects(args[:1]):
            return conversion.compare(_FLIPPED[sign], name, args[0])
        return conversion.other(node, name)

    def _substituted(self, node: Any, mapped: list[str]) -> Any:
        """Say an expression over several properties: only where names alone differ."""
        names = {}
        for name in mapped:
            rules = self._rules(name)
            plain = len(rules) == 1 and self._is_for_all(rules[0]) and rules[0].exclusive and name == rules[0].target
            if not plain or not isinstance(self._words.conversion(rules[0]), SameValue):
                raise NoNativeWords
            names[name] = rules[0].native
        return renamed(node, names)


def _literal_of(node: Json) -> Any:
    literals = [arg for arg in node["args"] if isinstance(arg, str | int | float)]
    return literals[0] if literals else ""


def _has_objects(values: list[Any]) -> bool:
    return any(value is None or isinstance(value, dict | list) for value in values)


def _are_texts(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
