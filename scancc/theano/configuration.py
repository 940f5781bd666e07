"""`theano.config`: the one setting that means something here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Configuration:
    """`floatX`: dtype of variables that name none, 'float64' or 'float32'."""

    floatX: str = "float64"  # noqa: N815  Theano's name

    def __setattr__(self, name: str, value: str) -> None:
        if name != "floatX":
            raise AttributeError(f"theano.config has no {name!r} here: only floatX")
        if value not in ("float64", "float32"):
            raise ValueError(f"floatX is {value!r}: use 'float64' or 'float32'")
        object.__setattr__(self, name, value)


config = Configuration()
