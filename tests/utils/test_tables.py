"""Tables as text and as HTML."""

import pytest

from numlstm.utils.tables import Table, listed, short


def test_columns_are_aligned_and_lines_end_without_spaces():
    table = Table(("Name", "Number"), [("a", "1"), ("long name", "23"), ("empty", "")], "lr")
    assert str(table).split("\n") == [
        "Name       Number",
        "a               1",
        "long name      23",
        "empty",
    ]


def test_no_titles_make_no_line():
    table = Table(("", ""), [("a", "b")], "ll")
    assert str(table) == "a  b"
    assert "<thead>" not in table.html()


def test_html_escapes_every_cell():
    html = Table(("<i>",), [("a & <script>",)], "r").html()
    assert "&lt;i&gt;" in html
    assert "a &amp; &lt;script&gt;" in html
    assert html.count('style="text-align: right"') == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("flow", "flow"), ("x" * 24, "x" * 24), ("x" * 25, "x" * 21 + "..."), ("a\nb", r"'a\nb'")],
)
def test_names_are_short_and_on_one_line(text, expected):
    assert short(text) == expected


def test_lists_say_how_much_they_leave_out():
    assert listed("abcd") == "a, b, c, d"
    assert listed("abcdef") == "a, b, c, d and 2 more"
