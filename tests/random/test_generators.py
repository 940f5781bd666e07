"""The generators: known answers of their authors, NumPy's own Philox, and compiled code against the definition."""

import numpy as np
import pytest

import scancc as sc
from scancc import draws
from scancc.ir.ops import GENERATORS

KEY = sc.random.key(0x0123456789ABCDEF)


def words(*values):
    return [np.array([v], np.uint32) for v in values]


# kat_vectors of the Random123 distribution, version 1.14: counter, key, result.
PHILOX = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip
THREEFRY = [
    ((0, 0, 0, 0), (0, 0, 0, 0), (0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 4, (0x2A881696, 0x57012287, 0xF6C7446E, 0xA16A6732)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89),
     (0x59CD1DBB, 0xB8879579, 0x86B5D00C, 0xAC8B6D84)),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "result"), PHILOX)
def test_philox_known_answers(counter, key, result):
    assert [int(w[0]) for w in draws.philox(32, words(*counter), words(*key))] == list(result)


@pytest.mark.parametrize(("counter", "key", "result"), THREEFRY)
def test_threefry_known_answers(counter, key, result):
    with np.errstate(over="ignore"):
        assert [int(w[0]) for w in draws.threefry(words(*counter), words(*key))] == list(result)


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_the_words_and_doubles_of_numpy(seed):
    key = sc.random.key(seed)
    bits = sc.random.bits(key, (17, 3), generator="philox4x64")
    np.testing.assert_array_equal(bits.ravel(), np.random.Philox(key=seed).random_raw(51))
    doubles = sc.random.uniform(key, (1001,), generator="philox4x64")
    np.testing.assert_array_equal(doubles, np.random.Generator(np.random.Philox(key=seed)).random(1001))


@pytest.mark.parametrize("generator", GENERATORS)
def test_compiled_words_are_those_of_the_definition(generator):
    r = np.random.default_rng(0)
    keys = r.integers(0, 2**64, 40, dtype=np.uint64)
    both = sc.jit(lambda k: sc.map(lambda k: (sc.random.bits(k, (9,), generator=generator),
                                              sc.random.fold_in(k, 2**63, generator=generator),
                                              sc.random.split(k, 3, generator=generator)), k))  # fmt: skip
    for have, want in zip(both(keys), both(keys, mode="interpret"), strict=True):
        np.testing.assert_array_equal(have, want)
    np.testing.assert_array_equal(both(keys)[0][5], draws.GENERATORS[generator](keys[5], np.arange(9), 0))


def test_keys():
    for seed in (-1, 2**64, 2**64 + 5, 10**40):
        with pytest.raises(ValueError, match="from 0 to 2\\*\\*64 - 1"):
            sc.random.key(seed)
    assert sc.random.key(3).dtype == np.uint64
    a, b = sc.random.split(KEY)
    many = sc.random.split(KEY, (50, 20))
    assert many.shape == (50, 20) and len(np.unique(many)) == 1000
    assert many[0, 0] == a and many[0, 1] == b
    folded = sc.random.fold_in(KEY, np.arange(-500, 500))
    assert len(np.unique(np.concatenate([folded, many.ravel(), sc.random.bits(KEY, (1000,))]))) == 3000
    assert sc.random.fold_in(KEY, -1) == sc.random.fold_in(KEY, np.uint64(2**64 - 1))
    assert sc.random.fold_in(KEY, np.int8(3)) == sc.random.fold_in(KEY, 3)


def test_elements_do_not_depend_on_what_else_is_drawn():
    whole = sc.random.normal(KEY, (1000,))
    np.testing.assert_array_equal(sc.random.normal(KEY, (10,)), whole[:10])
    np.testing.assert_array_equal(sc.random.normal(KEY, (20, 50)).ravel(), whole)
    assert sc.random.normal(KEY) == whole[0]

    @sc.jit
    def of_the_length_of(x):  # lengths known at run time only number the elements alike
        return sc.scan(lambda x, y: x + y, x, 0.0), sc.random.normal(KEY, (x.shape[0], 2))

    for n in (1, 7, 33):
        np.testing.assert_allclose(of_the_length_of(np.zeros(n))[1].ravel(), whole[: 2 * n], rtol=1e-15)


def test_a_draw_in_a_step_is_the_draw_outside():
    def step(t, y, key):
        return 0.5 * y + sc.random.normal(sc.random.fold_in(key, t))

    have = sc.scan(step, np.arange(50), 0.0, KEY)
    noise = [sc.random.normal(sc.random.fold_in(KEY, t)) for t in range(50)]
    want, y = [], 0.0
    for e in noise:
        y = 0.5 * y + e
        want.append(y)
    np.testing.assert_allclose(have, want, rtol=1e-14)

    def carried(key):
        key, own = sc.random.split(key)
        return key, sc.random.uniform(own)

    keys, values = sc.scan(carried, None, [KEY, None], n_steps=20)
    assert keys.dtype == np.uint64 and len(np.unique(values)) == 20
    want_keys, want_values = sc.scan(carried, None, [KEY, None], n_steps=20, mode="interpret")
    np.testing.assert_array_equal(keys, want_keys)
    np.testing.assert_array_equal(values, want_values)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sc.random.normal(0), TypeError, "a random key is a uint64 scalar, not 0"),
        (lambda: sc.random.normal(np.zeros(2, np.uint64)), TypeError, "uint64 of 1 axes"),
        (lambda: sc.random.key(0.5), TypeError, "a seed is an integer"),
        (lambda: sc.random.normal(KEY, 2.5), TypeError, "a shape is made of integers"),
        (lambda: sc.random.normal(KEY, (-1,)), ValueError, "length -1"),
        (lambda: sc.random.normal(KEY, (3,), loc=np.zeros(4)), ValueError, "do not broadcast"),
        (lambda: sc.random.normal(KEY, (), loc=np.zeros(4)), ValueError, "do not broadcast to the shape"),
        (lambda: sc.random.normal(KEY, dtype="float16"), TypeError, "float32 or float64, not float16"),
        (lambda: sc.random.normal(KEY, generator="mt19937"), ValueError, "philox4x32, philox4x64, threefry4x32"),
        (lambda: sc.random.normal(KEY, loc=1j), TypeError, "complex"),
        (lambda: sc.random.integers(KEY, high=0), ValueError, "is empty"),
        (lambda: sc.random.integers(KEY, high=2.5), TypeError, "float64"),
        (lambda: sc.random.integers(KEY, high=3, dtype="float64"), TypeError, "integer dtype"),
        (lambda: sc.random.fold_in(KEY, 0.5), TypeError, "integers"),
        (lambda: sc.random.choice(KEY, 0), ValueError, "choice from nothing"),
        (lambda: sc.random.choice(KEY, 3, (4,), replace=False), ValueError, "4 elements from 3"),
        (lambda: sc.random.choice(KEY, 3, p=np.ones(4)), ValueError, "shape (3,)"),
        (lambda: sc.random.permutation(KEY, 2000), NotImplementedError, "more than 1024"),
        (lambda: sc.random.categorical(KEY, logits=0.0), ValueError, "not a scalar"),
        (lambda: sc.random.RandomStream(0, "x"), ValueError, "generator"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as found:
        call()
    assert text in str(found.value)
