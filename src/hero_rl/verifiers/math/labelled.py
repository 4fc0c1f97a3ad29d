"""Comparing values that labels name, ``f(x) = ...``, ``AB = ...``, and renaming the letters that are bound in them."""

from __future__ import annotations

from hero_rl.verifiers.math.domains import read_domains
from hero_rl.verifiers.math.equations import compare_equations
from hero_rl.verifiers.math.evaluate import symbols
from hero_rl.verifiers.math.findings import Finding, equal, unsure
from hero_rl.verifiers.math.labels import arguments, is_function_label, is_product, labels_agree
from hero_rl.verifiers.math.problem import Hints
from hero_rl.verifiers.math.quantities import compare_values
from hero_rl.verifiers.math.reading import Reading
from hero_rl.verifiers.math.sampling import rename
from hero_rl.verifiers.math.sought import names_another

_CONSTANTS = frozenset("abckCK")


def compare_labelled(a: Reading, b: Reading, hints: Hints) -> Finding:
    """Compare two values; labels must name the same thing, and the thing that is asked for."""
    if is_function_label(b.label) and not a.label and _is_number(a) and _is_number(b):
        return unsure("function_or_number")
    argument = arguments(b.label) if is_function_label(a.label) and is_function_label(b.label) else ()
    alike = len(argument) == len(arguments(a.label)) and b.tree is not None  # f(t) in terms of the x of f(x)
    names = dict(zip(argument, arguments(a.label), strict=True)) if alike else {}
    finding = compare_values(a, _renamed(b, names) if names else b, hints)
    if finding.reason == "letters_differ" and argument and not hints.given:
        differ = all_symbols(a) ^ all_symbols(b)
        if len(differ) == 2 and differ <= _CONSTANTS:
            return equal("equal_renamed")  # cx and kx
    if finding.relation == "equal":
        if a.label and b.label:
            free = set(names.values()) - set(names)  # x in f(t) = x + t, where f(x) is asked for
            agree = free.isdisjoint(all_symbols(b)) and labels_agree(a.label, b.label, hints.letters)
            return finding if agree else unsure("labels_differ")
        another = b.label and hints.given and names_another(b.label, hints.text, hints.letters)
        return unsure("labels_differ") if another else finding
    products = [label for label in (a.label, b.label) if "(" in label and not is_function_label(label)]  # y(x+1)
    agree = labels_agree(a.label, b.label) and not products
    if agree or not (a.label and b.label) or (_is_number(a) and _is_number(b)):
        return finding
    equations = compare_equations(a, b, hints)
    if equations.relation == "equal" and not hints.given and is_product(b.label, a.label):
        return unsure("not_solved")
    return finding if equations.reason in ("not_comparable", "variables_differ") else equations


def _is_number(reading: Reading) -> bool:
    return reading.tree is not None and not symbols(reading.tree)


def with_bound_renamed(a: Reading, b: Reading) -> tuple[Reading, Reading]:
    """Return one parameter letter for both of two families of tuples, where each has exactly one of its own."""
    here, there = all_symbols(a), all_symbols(b)
    only_here, only_there = sorted(here - there), sorted(there - here)
    free = frozenset("nmkjlrstcCxaK")
    if len(only_here) == len(only_there) == 1 and a.kind == b.kind == "tuple" and free.issuperset(only_here + only_there):
        return a, _renamed(b, {only_there[0]: only_here[0]})
    return a, b


def with_constant_renamed(a: Reading, b: Reading, hints: Hints) -> Reading:
    """Return a reading with the other's letter for its constant, where each says that it has one: ``where c is constant``."""
    here, there = read_domains(a.domain) or {}, read_domains(b.domain) or {}
    if len(here) != 1 or len(there) != 1 or here.keys() == there.keys():
        return b
    (mine, one), (yours, other) = next(iter(here.items())), next(iter(there.items()))
    free = all(domain.base in ("R", "constant") for domain in (one, other)) and hints.letters.isdisjoint((mine, yours))
    unused = mine not in all_symbols(b) and yours not in all_symbols(a)
    return _renamed(b, {yours: mine})._replace(domain=a.domain) if free and unused else b


def all_symbols(reading: Reading) -> frozenset[str]:
    """Return the letters of a reading and of all its elements."""
    own = symbols(reading.tree) if reading.tree is not None else frozenset[str]()
    return own.union(*(all_symbols(item) for item in reading.items))


def _renamed(reading: Reading, names: dict[str, str]) -> Reading:
    tree = rename(reading.tree, names) if reading.tree is not None else None
    return reading._replace(tree=tree, items=tuple(_renamed(item, names) for item in reading.items))
