"""The names that mathematics is written with: of functions, in several countries' spellings, and of letters."""

from __future__ import annotations

FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc",
     "sinh", "cosh", "tanh", "coth", "sech", "csch", "arsinh", "arcosh", "artanh", "ln", "log", "lg", "lb", "exp",
     "abs", "sgn", "floor", "ceil", "max", "min", "gcd", "lcm")
)  # fmt: skip
OF_SEVERAL = frozenset(("max", "min", "gcd", "lcm"))
"""Functions of a list of numbers."""
_OTHER_NAMES = {
    "tg": "tan", "ctg": "cot", "cotg": "cot", "cosec": "csc", "arctg": "arctan", "arcctg": "arccot", "arccotg": "arccot",
    "arccosec": "arccsc", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "acot": "arccot", "asec": "arcsec",
    "acsc": "arccsc", "sh": "sinh", "ch": "cosh", "th": "tanh", "cth": "coth", "arcsinh": "arsinh", "arccosh": "arcosh",
    "arctanh": "artanh", "asinh": "arsinh", "acosh": "arcosh", "atanh": "artanh", "arsh": "arsinh", "arch": "arcosh",
    "arth": "artanh", "sign": "sgn", "ceiling": "ceil", "hcf": "gcd", "mcd": "gcd", "mcm": "lcm", "ggT": "gcd", "kgV": "lcm",
}  # fmt: skip
INVERSE = {name: f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")} | {
    name: f"ar{name}" for name in ("sinh", "cosh", "tanh")
}
"""The inverse that ``\\sin^{-1}`` and its like mean."""
LETTERS = frozenset(
    ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho",
     "sigma", "tau", "phi", "chi", "ivec", "jvec", "kvec", "psi", "omega", "Delta", "Gamma", "Omega", "Sigma", "Phi",
     "Theta", "Lambda", "Psi", "ell", "hbar")
)  # fmt: skip
WORDS = (
    FUNCTIONS
    - {"lg", "lb", "sgn", "max", "min", "gcd", "lcm", "abs", "coth", "sech", "csch"}
    | frozenset(
        ("sqrt", "pi", "infty", "infinity", "alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "omega", "phi", "sigma",
         "cdot", "times", "frac", "abs", "binom", "asin", "acos", "atan", "ctg", "cotg", "cosec", "arctg", "arcctg")
    )
)  # fmt: skip
"""Runs of letters that are one name without a backslash; two letters are more likely a product."""
_ABBREVIATIONS = frozenset(("tg", "sh", "ch", "th", "min", "sec", "arch", "sign"))
"""Names that are also units, endings or words: a function only where the text says that it is an operator."""


def function_name(name: str, *, operator: bool = True) -> str | None:
    r"""Return the usual name of a function; None for other words. ``operator``: a command or ``\operatorname`` marks it."""
    name = name.strip()
    known = _OTHER_NAMES.get(name, name)
    return known if known in FUNCTIONS and (operator or name not in _ABBREVIATIONS) else None
