"""Arrays that a traced function makes and then assigns to: `out = np.zeros(3); out[i] = v`.

Such an array is an object that holds its present value, plain or traced; an assignment replaces the value, so all names
of the object see it, as in Python. What NumPy would give as a view (`out[1:]`, `out.T`) is a view here too: it computes
its value when it is read, and assigning to it assigns to the array.

Where two objects may be one and the same, depending on which branch ran, they are *entangled*: an assignment to one
makes the value of the others unknown, and reading it is an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.operators import OPERATORS, ArrayOperators
from scancc.frontend.regions import array_depth, home_of_arrays, innermost
from scancc.frontend.tracer import Tracer, as_stored, is_traced, unwrap, wrap
from scancc.ir import build
from scancc.ir.types import show_shape


class MadeArray(ArrayOperators):
    """An array that is assigned to. `value` is a NumPy array of its own, or a traced value."""

    __slots__ = ("_copy", "depth", "entangled", "home", "lost", "value")
    __hash__ = object.__hash__

    def __init__(self, value: Any) -> None:
        self.value = value
        self._copy: np.ndarray | None = None
        self.depth = array_depth()
        self.home = home_of_arrays()
        self.entangled: dict[MadeArray, None] = {}
        self.lost = ""

    @property
    def origin(self) -> MadeArray:
        """The array that an assignment changes."""
        return self

    # -- its value ---------------------------------------------------------------------------------------------------
    def now(self) -> Any:
        """The present value: a NumPy array that nobody changes, or a traced value."""
        if self.lost:
            self._refuse_lost("read")
        return self.value

    @property
    def held(self) -> Tracer:
        value = self.now()
        if isinstance(value, Tracer):
            return value
        if value.size and (value == value.flat[0]).all():
            return wrap(build.broadcast_to(build.const(value.flat[0], loc=here()), value.shape, here()))
        if value.size <= 64:
            return wrap(build.const(value.copy(), loc=here()))
        if self._copy is None:
            self._copy = value.copy()
        return wrap(as_stored(self._copy))

    def hold(self, value: Any) -> None:
        """Take a value without noting it."""
        self.value, self._copy = value, None

    def write(self, value: Any) -> None:
        """Take a value as an assignment does."""
        if self.lost:
            self._refuse_lost("assigned to")
        if home_of_arrays() is not self.home:
            refuse_assignment("an array from outside of the function")
        region = innermost()
        if region is not None and self.depth < array_depth():
            region.before.setdefault(self, self.value)
        self.hold(value)
        loc = here()
        for other in self.entangled:
            other.lose(f"line {loc.line}" if loc else "another place")

    def lose(self, where: str) -> None:
        """Its value is unknown from here on, because of an assignment there."""
        region = innermost()
        if region is not None and self.depth < array_depth():
            region.found.setdefault(self, self.lost)
        self.lost = where

    def _refuse_lost(self, done: str) -> NoReturn:
        raise UnsupportedError(
            f"an array is {done} that may be the one assigned to at {self.lost}, or another", here(),
            "which of two arrays a name means is decided when the loop runs, so an assignment through one name cannot "
            "show in the other", "give the name a copy: b = a.copy()",
        )  # fmt: skip

    @property
    def traced(self) -> bool:
        return isinstance(self.now(), Tracer)

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.now().shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype:
        return self.now().dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.now().ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.now().size  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self.now())

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<array made here: {self.now()!r}>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.now(), dtype=dtype)

    def __bool__(self) -> bool:
        return bool(self.now())

    def __int__(self) -> int:
        return int(self.now())

    def __index__(self) -> int:
        return self.now().__index__()  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self.now())

    def __complex__(self) -> complex:
        return complex(self.now())

    def item(self, *args: Any) -> Any:
        return self.now().item(*args)

    def tolist(self) -> Any:
        return self.now().tolist()

    def copy(self) -> MadeArray:
        return MadeArray(_own(self.now()))

    def astype(self, dtype: Any, **kwargs: Any) -> MadeArray:
        return MadeArray(_own(self.now().astype(dtype, **kwargs)))

    def flatten(self, *args: Any) -> MadeArray:
        return MadeArray(_own(np.ravel(self.now(), *args)))

    def fill(self, value: Any) -> None:
        self[...] = value

    # -- elements ------------------------------------------------------------------------------------------------
    def __getitem__(self, key: Any) -> Any:
        def read(value: Any) -> Any:
            by_value = isinstance(value, Tracer) or not is_traced(*index_parts(key))
            return value[key] if by_value else wrap(unwrap(self))[key]

        found = read(self.now())
        return View(self, read, key) if _is_view(key) and np.ndim(found) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        now, value = self.now(), value.now() if isinstance(value, MadeArray) else value
        if not isinstance(now, Tracer) and not is_traced(value, *index_parts(key)):
            new = now.copy()
            new[key] = value
        else:
            new = self._updated(key, value)
        self.write(new)

    def _updated(self, key: Any, value: Any) -> Any:
        from scancc.frontend.updates import update

        target = self.held
        masks = [k for k in index_parts(key) if isinstance(k, (ArrayOperators, np.ndarray)) and k.dtype.kind == "b"]
        if masks and np.ndim(value):
            raise UnsupportedError("assigning an array where a mask holds", here(),
                                   "how many of its elements are used would depend on values",
                                   "write x = np.where(mask, values, x)")  # fmt: skip
        if key is Ellipsis or isinstance(key, slice) and key == slice(None):
            return np.broadcast_to(_fitted(value, target), target.node.type.shape)
        return update(target, key, value, "set")

    def _in_place(self, ufunc: np.ufunc, other: Any) -> MadeArray:
        now = self.now()
        if isinstance(now, Tracer) or is_traced(other):
            result = _fitted(ufunc(self, other), self)
            if result.shape != tuple(self.shape):
                raise ScanValueError(
                    f"an operation in place gives {show_shape(result.node.type.shape)} for an array of shape "
                    f"{self.shape}", here(), "what is assigned to an array fits into it", "write x = x + y",
                )  # fmt: skip
        else:
            result = ufunc(now.copy(), other.now() if isinstance(other, MadeArray) else other, casting="same_kind",
                           dtype=now.dtype if ufunc is not np.divide else None)  # fmt: skip
            result = np.asarray(result).astype(now.dtype, casting="same_kind")
        self.write(result)
        return self

    # -- NumPy ---------------------------------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from scancc.frontend.ufuncs import call_ufunc

        out = kwargs.pop("out", None)
        given = [x.now() if isinstance(x, MadeArray) else x for x in inputs]
        plain = not is_traced(*given, *kwargs.values())
        result = getattr(ufunc, method)(*given, **kwargs) if plain else call_ufunc(ufunc, method, tuple(given), kwargs)
        if out is None:
            return result
        if len(out) != 1 or not isinstance(out[0], MadeArray):
            refuse_assignment("an array that the function did not make, by out=,")
        out[0][...] = result
        return out[0]

    def __array_function__(self, func: Callable, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            from scancc.frontend.numpy_functions import call_function

            args, kwargs = _now(args), _now(kwargs)
            return call_function(func, args, kwargs) if is_traced(*args, *kwargs.values()) else func(*args, **kwargs)

        found = run(*args, **kwargs)
        if func not in VIEWS or not args or args[0] is not self:
            return found
        whole = self.layout
        layout = None if whole is None else func(whole, *args[1:], **kwargs)
        if isinstance(found, (list, tuple)):
            return [
                View(self, lambda v, i=i: run(v, *args[1:], **kwargs)[i], layout=None if layout is None else layout[i])
                for i in range(len(found))
            ]
        if layout is not None and not np.shares_memory(layout, whole):
            return MadeArray(_own(found))  # a copy, since the elements are not in this order
        return View(self, lambda v: run(v, *args[1:], **kwargs), layout=layout)

    @property
    def layout(self) -> np.ndarray | None:
        """The positions of the elements in the array as it was made; None where they are known when it runs."""
        shape = self.shape
        return np.arange(int(np.prod(shape))).reshape(shape) if all(isinstance(d, int) for d in shape) else None

    def put(self, positions: np.ndarray, value: Any) -> None:
        """Assign to elements at flat positions."""
        flat = positions.ravel()
        if flat.size == self.size and (flat == np.arange(flat.size)).all():
            self[...] = np.reshape(value, self.shape)
        else:
            whole = MadeArray(np.ravel(self.now()))
            whole[flat] = np.ravel(value)
            self[...] = np.reshape(whole.now(), self.shape)


class View(MadeArray):
    """A part of an array, or the array in another form, as it is when it is read."""

    __slots__ = ("_layout", "base", "key", "read")

    def __init__(self, base: MadeArray, read: Callable[[Any], Any], key: Any = None, layout: Any = None) -> None:
        super().__init__(None)
        self.base, self.read, self.key, self._layout = base, read, key, layout

    @property
    def origin(self) -> MadeArray:
        return self.base.origin

    @property
    def layout(self) -> np.ndarray | None:
        if self.key is None:
            return self._layout  # type: ignore[no-any-return]
        if is_traced(*index_parts(self.key)) or self.base.layout is None:
            return None
        return self.base.layout[self.key]  # type: ignore[no-any-return]

    def now(self) -> Any:
        return self.read(self.base.now())

    @property
    def held(self) -> Tracer:
        value = self.now()
        return value if isinstance(value, Tracer) else MadeArray(value).held

    def write(self, value: Any) -> None:
        if self.key is not None:
            self.base[self.key] = value
            return
        layout = self.layout
        if layout is None or np.unique(layout).size < layout.size or self.dtype != self.base.dtype:
            raise UnsupportedError("assigning to an array in another form", here(),
                                   "elements are assigned through the array, or a slice of it", "write x[:, i] = v")
        self.origin.put(layout, value)


def _own(value: Any) -> Any:
    return value if isinstance(value, Tracer) else np.array(value)


def made(value: Any) -> Any:
    """What an expression that makes a new array gives, as one that can be assigned to; other values as they are."""
    if isinstance(value, Tracer) and value.ndim or isinstance(value, np.ndarray) and type(value) is np.ndarray:
        return MadeArray(value)
    return value


def refuse_assignment(what: str) -> NoReturn:
    raise UnsupportedError(
        f"assigning to elements of {what}", here(),
        "a compiled function changes no array but those that it makes itself",
        "write x = x.at[i].set(v), or assign to a copy: x = x.copy()",
    )  # fmt: skip


def entangle(arrays: Iterable[MadeArray]) -> None:
    """These may be one and the same array, from here on."""
    every = list(dict.fromkeys(a.origin for a in arrays))
    for a in every:
        a.entangled |= {b: None for b in every if b is not a}


def _fitted(value: Any, target: Any) -> Any:
    """A traced value in the dtype of an array that it is assigned to."""
    dtype = target.dtype
    weak = isinstance(value, (int, float, complex)) and not isinstance(value, np.generic)
    x = wrap(build.const(value, np.result_type(dtype, value))) if weak else wrap(unwrap(value))
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise ScanTypeError(f"an array of {dtype} cannot take values of {x.dtype}", here(),
                            fix=f'cast one of them, for example with .astype("{dtype}")')
    return x.astype(dtype)


def index_parts(key: Any) -> tuple:
    parts: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        parts += [k.start, k.stop, k.step] if isinstance(k, slice) else [k]
    return tuple(parts)


def _is_view(key: Any) -> bool:
    """Whether NumPy gives a view for an index: no arrays in it."""
    return all(
        k is None or k is Ellipsis or isinstance(k, (int, np.integer, slice))
        or isinstance(k, ArrayOperators) and k.ndim == 0 and k.dtype.kind in "iu"
        for k in (key if isinstance(key, tuple) else (key,))
    ) and not isinstance(key, bool)  # fmt: skip


def _now(value: Any) -> Any:
    """Containers with made arrays replaced by their values."""
    if isinstance(value, MadeArray):
        return value.now()
    if isinstance(value, dict):
        return {k: _now(v) for k, v in value.items()}
    return type(value)(map(_now, value)) if type(value) in (list, tuple) else value


VIEWS = frozenset({
    np.transpose, np.reshape, np.ravel, np.squeeze, np.swapaxes, np.moveaxis, np.rollaxis, np.expand_dims, np.flip,
    np.fliplr, np.flipud, np.rot90, np.broadcast_to, np.diagonal, np.real, np.imag, np.atleast_1d, np.atleast_2d,
    np.atleast_3d, np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit,
})  # fmt: skip


def _in_place_operator(name: str, ufunc: np.ufunc) -> None:
    setattr(MadeArray, f"__i{name}__", lambda self, other: self._in_place(ufunc, other))


for _name, _ufunc in OPERATORS.items():
    if _name not in ("lt", "le", "gt", "ge", "eq", "ne", "divmod"):
        _in_place_operator(_name, _ufunc)
