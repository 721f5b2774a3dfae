"""Tables in memory."""

import pandas
import pytest

from bertkit.errors import BertkitError
from bertkit.io.memory import memory_rows


def test_a_frame_with_two_columns_of_one_name_is_refused():
    assert memory_rows("f", pandas.DataFrame([["a", None]], columns=["text", 1])).rows == [{"text": "a", "1": None}]
    for columns in (["text", "text"], [1, "1"]):
        with pytest.raises(BertkitError, match=f"the rows has two columns '{columns[1]}': rename one"):
            memory_rows("the rows", pandas.DataFrame([["a", "b"]], columns=columns))
