"""What the door lets in, what it refuses, and what the refusal says."""

import enum
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numlstm.architecture.cell import Cell
from numlstm.utils import checks

SAME = np.arange(12.0).reshape(3, 4)


def _readonly():
    array = SAME.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "value",
    [
        SAME,
        SAME.tolist(),
        np.asfortranarray(SAME),
        np.repeat(SAME, 2, axis=1)[:, ::2],
        SAME[::-1][::-1],
        SAME.astype(">f8"),
        SAME.astype("<f8"),
        SAME.astype(">f4"),
        SAME.astype(np.float16),
        SAME.astype(np.longdouble),
        SAME.astype(np.int8),
        SAME.astype(">u4"),
        _readonly(),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_any_real_array_gives_the_same_numbers(value, dtype):
    before = np.array(value)
    result = checks.array("X", value, dtype)
    assert type(result) is np.ndarray
    assert result.dtype == dtype
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, SAME)
    np.testing.assert_array_equal(value, before)


def test_no_copy_where_none_is_needed():
    assert checks.array("X", SAME, "float64") is SAME


def test_memory_mapped_files_are_read(tmp_path):
    np.save(tmp_path / "X.npy", SAME)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for dtype in ("float32", "float64"):
        np.testing.assert_array_equal(checks.array("X", mapped, dtype), SAME)


def test_booleans_are_numbers():
    np.testing.assert_array_equal(checks.array("X", [True, False], "float32"), [1.0, 0.0])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ma.masked_array([1.0, 2.0], [False, True]), ["masked", "filled"]),
        (SAME.view(np.matrix), ["np.matrix", "np.asarray(X)"]),
        (np.array([1.0, None]), ["object"]),
        (np.array([1.0 + 2.0j]), ["complex128"]),
        (np.array(["one"]), ["<U3"]),
        (np.array(["2020-01-01"], "datetime64[D]"), ["datetime64"]),
        (None, ["object"]),
        ({"a": 1}, ["object"]),
    ],
    ids=["masked", "matrix", "object", "complex", "string", "datetime", "None", "dict"],
)
def test_what_is_no_plain_real_array_is_refused(value, words):
    with pytest.raises(TypeError) as caught:
        checks.array("X", value, "float64")
    for word in ["X", *words]:
        assert word in str(caught.value)


def test_ragged_lists_are_refused():
    way_out = r"X cannot be made an array.*\[np.asarray\(row\) for row in X\]"
    with pytest.raises(ValueError, match=way_out):
        checks.array("X", [[1.0, 2.0], [3.0]], "float64")


@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    data=st.data(),
)
def test_the_first_value_that_is_not_finite_is_located(shape, bad, data):
    value = np.zeros(shape)
    places = data.draw(st.lists(st.integers(0, value.size - 1), min_size=1, unique=True))
    value.flat[places] = bad
    where = tuple(int(i) for i in np.unravel_index(min(places), shape))
    with pytest.raises(ValueError, match="first at index") as caught:
        checks.array("X", value, "float64")
    assert f"X has {len(places)} NaN or infinite value(s), the first at index {where};" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("values", "said", "unsaid"),
    [
        ([0.0, np.nan], "NaN: do this", "inf:"),
        ([0.0, -np.inf], "inf: replace it", "NaN: do this"),
        ([np.inf, np.nan], "NaN: do this; inf: replace it", "nothing"),
    ],
)
def test_each_kind_of_value_has_its_own_way_out(values, said, unsaid):
    with pytest.raises(ValueError, match=said) as caught:
        checks.require_finite("y", np.array(values), "do this")
    assert unsaid not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["0.1", b"1", True, np.True_, np.array(True), np.array("1"), [0.1], np.array([0.1]), 1j, None,
     np.complex64(1)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number(value):
    with pytest.raises(TypeError, match="learning_rate must be a number, received"):
        checks.real("learning_rate", value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int8(1), np.array(1.0), Fraction(1)])
def test_numbers(value):
    assert checks.real("x", value) == 1.0


def test_an_integer_beyond_every_float():
    with pytest.raises(ValueError, match=r"cell_clip must be below 1\.8e308"):
        Cell(cell_clip=10**400)


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_sizes_beyond_what_counts(value):
    with pytest.raises(ValueError, match=r"^epochs must be at most 2\*\*63 - 1, received \d+$"):
        checks.size("epochs", value)
    assert checks.size("epochs", 2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize(
    ("value", "becomes"), [(1e-60, "0"), (-1e-46, "-0"), (1e39, "inf"), (-1e300, "-inf")]
)
def test_a_number_that_float32_cannot_hold(value, becomes):
    words = f"^clip must be a number that float32 can hold, received {value:g}, which it rounds to "
    with pytest.raises(ValueError, match=re.escape(words[1:] + becomes + ": choose another")):
        checks.held("clip", value, "float32")
    checks.held("clip", value, "float64")


@pytest.mark.parametrize("value", [None, 0, 0.0, 1e-45, -1e-40, 0.1, 3e38])
def test_numbers_that_float32_holds(value):
    checks.held("clip", value, "float32")


def test_opposite_infinities_do_not_cancel():
    with pytest.raises(
        ValueError, match=r"2 NaN or infinite value\(s\), the first at index \(0,\)"
    ):
        checks.array("X", np.array([np.inf, -np.inf]), "float64")


def test_a_sum_that_overflows_is_no_infinity():
    large = np.full(4, np.finfo("float32").max)
    np.testing.assert_array_equal(checks.array("X", large, "float32"), large)


def test_what_float32_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="X has values beyond the range of float32"):
        checks.array("X", np.array([1.0, 1e300]), "float32")


def test_empty_arrays_are_fine():
    assert checks.array("X", np.zeros((0, 3)), "float32").shape == (0, 3)


@pytest.mark.parametrize("value", [1, 7, np.int32(3), np.uint8(2)])
def test_sizes(value):
    assert checks.size("hidden_size", value) == value
    assert type(checks.size("hidden_size", value)) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [
        *((0, ValueError), (-3, ValueError), (True, ValueError), (2.0, TypeError)),
        *(("3", TypeError), (None, TypeError), (float("nan"), TypeError)),
    ],
)
def test_bad_sizes_show_what_was_received(value, error):
    with pytest.raises(error, match=f"hidden_size must be an integer.*received {value!r}"):
        checks.size("hidden_size", value)


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("f4"), "f4", "<f4", ">f4"])
def test_dtypes(value):
    assert checks.dtype("dtype", value) == "float32"


@pytest.mark.parametrize("value", ["float16", int, complex, "no such type", np.longdouble, object])
def test_other_dtypes_are_refused(value):
    with pytest.raises(ValueError, match="dtype must be one of"):
        checks.dtype("dtype", value)


@pytest.mark.parametrize("value", ["adm", None, 3, ("adam",)])
def test_choices_show_the_options(value):
    with pytest.raises(ValueError, match=r"method must be one of \['adam', 'sgd'\], received"):
        checks.choice("method", value, ("adam", "sgd"))


def test_shapes():
    checks.shape("X", np.zeros((2, 5, 3)), ("B", "T", 3))
    checks.shape("x", np.zeros(3), (3,))
    with pytest.raises(ValueError, match=r"x must have shape \(3,\), received \(4,\)"):
        checks.shape("x", np.zeros(4), (3,))
    with pytest.raises(ValueError, match=r"X must have shape \(B, T, 3\), received \(5, 3\)"):
        checks.shape("X", np.zeros((5, 3)), ("B", "T", 3))


def test_the_transpose_is_suggested_where_it_fits():
    with pytest.raises(ValueError, match=r"received \(2, 3, 5\).*X\.transpose\(0, 2, 1\)"):
        checks.shape("X", np.zeros((2, 3, 5)), ("B", "T", 3))
    with pytest.raises(ValueError, match=r"received \(2, 4, 5\)$"):
        checks.shape("X", np.zeros((2, 4, 5)), ("B", "T", 3))


def test_lengths():
    assert checks.lengths(None, 3, 4) is None
    result = checks.lengths([0, 4, 2], 3, 4)
    np.testing.assert_array_equal(result, [0, 4, 2])
    assert result.dtype == np.int64
    assert checks.lengths(np.array([1, 2], np.uint8), 2, 4).dtype == np.int64
    assert checks.lengths(np.zeros(0, int), 0, 4).shape == (0,)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0, 2.0], "float64"),
        ([1, 2, 3], r"shape \(3,\)"),
        ([[1, 2]], r"shape \(1, 2\)"),
        (2, r"shape \(\)"),
        ([1, 5], "between 0 and T = 4, received 1 to 5"),
        ([-1, 2], "received -1 to 2"),
        ([True, False], "bool"),
    ],
)
def test_bad_lengths(value, words):
    with pytest.raises(ValueError, match=f"lengths must .*{words}"):
        checks.lengths(value, 2, 4)


class Word(enum.StrEnum):
    A = "a"


def test_what_comes_out_is_plain():
    for text in ("a", np.str_("a"), Word.A):
        assert type(checks.choice("x", text, ("a", "b"))) is str
        assert (type(checks.plain(text)), checks.plain(text)) == (str, "a")
    assert type(checks.size("x", enum.IntEnum("Count", {"ONE": 1}).ONE)) is int
    assert type(checks.size("x", np.int8(1))) is int
    assert type(checks.real("x", np.float32(1))) is float
    assert type(checks.flag("x", np.True_)) is bool


def test_a_cell_holds_plain_values():
    values = {"forget_gate": np.str_("coupled"), "layer_norm": np.str_("gates")}
    cell = Cell(**values, activations=(np.str_("relu"),) * 3, cell_clip=np.float64(2))
    assert [type(part) for part in (cell.forget_gate, cell.layer_norm)] == [str, str]
    assert [type(part.name) for part in cell.activations] == [str] * 3
    assert type(cell.cell_clip) is float
    assert "np." not in repr(cell)


WIDE = np.random.default_rng(0).standard_normal((61, 3))
COLUMN = np.arange(5.0)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({0: WIDE, 1: WIDE[:50]}, "list(X.values())"),
        ({"a": WIDE.tolist()}, "[np.asarray(part) for part in X.values()]"),
        ({0: WIDE}.values(), "list(X)"),
        ((part for part in (WIDE, WIDE)), "list(X)"),
    ],
    ids=["dict", "dict of lists", "values", "generator"],
)
def test_a_collection_that_is_no_list_is_made_one(value, code):
    with pytest.raises(TypeError) as caught:
        checks.array("X", value, None)
    message = str(caught.value)
    assert message.endswith(f"several series are a list of arrays, {code}")
    made = eval(code, {"np": np, "X": value})
    for part in made:
        np.testing.assert_array_equal(part, WIDE[: len(part)])


def test_a_dict_of_what_is_no_series_is_not_taken_for_series():
    with pytest.raises(TypeError, match=r"it has \{0: array") as caught:
        checks.array("theta", {0: WIDE}, None)
    assert "several series" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_dict_of_columns_may_be_one_series():
    columns = {"a": COLUMN, "b": 2 * COLUMN}
    with pytest.raises(TypeError, match="columns of one series") as caught:
        checks.array("X", columns, None)
    made = eval(str(caught.value).partition("columns of one series ")[2], {"np": np, "X": columns})
    np.testing.assert_array_equal(made, np.stack([COLUMN, 2 * COLUMN], axis=1))


def test_an_array_of_arrays_is_made_a_list():
    ragged = np.empty(2, object)
    ragged[:] = [WIDE, WIDE[:50]]
    with pytest.raises(TypeError, match=r"several series are a list of arrays: pass list\(X\)$"):
        checks.array("X", ragged, None)


@pytest.mark.parametrize(
    "value", [{0: WIDE}, [WIDE, WIDE], {"text" * 99}, [[1.0] * 999], "a\nb" * 99, object()]
)
@pytest.mark.parametrize(
    "check",
    [
        checks.size,
        checks.flag,
        checks.real,
        checks.probability,
        checks.dtype,
        lambda name, value: checks.choice(name, value, ("a", "b")),
        lambda name, value: checks.array(name, np.array([value, 1.0, None], object), None),
    ],
)
def test_a_message_shows_a_value_in_one_short_line(check, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        check("epochs", value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
