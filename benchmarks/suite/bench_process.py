"""What a new process waits for after the interpreter: import, first fit, compilation."""

FIRST_FIT = """
import numlstm
numlstm.fit([0.0, 1.0] * 50, hidden_size=16, bptt_steps=50, epochs=1, progress=False)
"""

EMPTY_CACHE = """
import os, tempfile
folder = tempfile.TemporaryDirectory()
os.environ["NUMLSTM_CACHE_DIR"] = folder.name
"""


def timeraw_import():
    return "import numlstm"


def timeraw_import_and_use():
    return "import numlstm; numlstm.fit"


class ColdFit:
    """Nothing compiled yet: every sample begins with an empty cache."""

    number = 1
    rounds = 1
    repeat = 3

    def timeraw_first_fit(self):
        return FIRST_FIT, EMPTY_CACHE


class WarmFit:
    """Kernels compiled by an earlier process."""

    number = 1

    def setup(self):
        exec(FIRST_FIT)

    def timeraw_first_fit(self):
        return FIRST_FIT
