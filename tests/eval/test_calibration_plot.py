import struct

import numpy as np
import pytest

from thalweg.errors import DataError
from thalweg.eval import calibration_plot


def test_the_plot_is_a_png_of_the_stated_size(tmp_path):
    draw = np.random.default_rng(0)
    confidence = draw.beta(4, 2, 400)
    correct = draw.random(400) < confidence**1.5
    path = calibration_plot(confidence, correct, tmp_path / "deep" / "plot.png", title="Spam or ham, 400 mails")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (960, 1120)
    assert len(content) > 10_000


def test_one_row_and_one_bin_can_be_drawn(tmp_path):
    assert calibration_plot([0.7], [True], tmp_path / "one.png", title="one", bins=1).stat().st_size > 5_000


def test_pyplot_is_left_alone(tmp_path):
    import sys

    calibration_plot([0.7, 0.2], [True, False], str(tmp_path / "two.png"), title="two")
    assert "matplotlib.pyplot" not in sys.modules


def test_another_format_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="PNG"):
        calibration_plot([0.7], [True], tmp_path / "plot.svg", title="no")
