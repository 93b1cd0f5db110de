"""The packaged embedder: the published numbers, no influence of neighbours, errors that name the row."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from thalweg.errors import DataError, ModelNotFound
from thalweg.models.embedder import Embedder
from thalweg.models.minilm import MiniLM, gelu

TEXTS = [
    "My parcel never arrived and I want my money back.",
    "Please refund the order, it was lost in the mail.",
    "The staff in your shop were rude to me.",
    "How do I bake sourdough bread?",
    "A river carves its bed where the water runs fastest.",
    "",
    "Ünïcödé, 漢字 and 🙂",
    "word " * 400,
]


@pytest.fixture(scope="module")
def model():
    return MiniLM()


def test_it_is_an_embedder_of_unit_vectors(model):
    assert isinstance(model, Embedder)
    vectors = model.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert model.name == "all-MiniLM-L6-v2" and model.dimensions == 384
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_similarities_are_the_published_ones(model):
    # The quick start of the sentence-transformers documentation prints these for the same weights.
    vectors = model.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-4)


def test_meaning_decides_nearness(model):
    same = model.embed(TEXTS[:4]) @ model.embed(["The delivery was lost, return what I paid."])[0]
    assert min(same[0], same[1]) > 0.4 > max(same[2], same[3])


def test_a_text_alone_equals_the_text_in_a_batch(model):
    together = model.embed(TEXTS)
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_order_and_repetition_do_not_matter(model):
    vectors = model.embed(TEXTS)
    assert np.array_equal(vectors, model.embed(TEXTS))
    np.testing.assert_allclose(model.embed(TEXTS[::-1] + TEXTS)[len(TEXTS) - 1 :: -1], vectors, atol=1e-5)


def test_texts_are_cut_at_256_tokens(model):
    np.testing.assert_allclose(model.embed(["word " * 254]), model.embed(["word " * 400]), atol=1e-6)
    assert np.abs(model.embed(["word " * 250]) - model.embed(["word " * 400])).max() > 1e-5


def test_a_batch_beyond_one_pass_is_cut(model):
    texts = [f"{'word ' * 200}{i}" for i in range(30)]  # 6000 tokens
    vectors = model.embed(texts)
    np.testing.assert_allclose(vectors[17], model.embed([texts[17]])[0], atol=1e-5)


def test_no_text_gives_no_row(model):
    assert model.embed([]).shape == (0, 384)


def test_bad_rows_are_named(model):
    for row, texts in ((1, ["a", None]), (0, [3]), (2, ["a", "b", "\ud800"])):
        with pytest.raises(DataError) as caught:
            model.embed(texts)
        assert caught.value.row == row
    with pytest.raises(DataError, match=r"\[text\]"):
        model.embed("one text")


def test_gelu_is_exact_to_a_millionth():
    x = np.concatenate([np.linspace(-12, 12, 60_001), [-1e4, 1e4, 0.0, -0.0]]).astype(np.float32)
    exact = np.array([value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x.astype(float)])
    np.testing.assert_allclose(gelu(x.copy()), exact, atol=1e-6, rtol=1e-6)


def test_a_folder_without_a_model_is_not_found(tmp_path):
    with pytest.raises(ModelNotFound, match="thalweg"):
        MiniLM(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_act": "silu"}')
    with pytest.raises(ModelNotFound, match="BERT"):
        MiniLM(tmp_path)


def test_missing_libraries_name_the_extra(model, monkeypatch):
    for library in ("tokenizers", "safetensors.numpy"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            with pytest.raises(ModelNotFound, match=r"thalweg\[embed\]"):
                MiniLM()
    with monkeypatch.context() as patch:
        patch.setattr("thalweg.models.minilm._PACKAGE", "no_such_package_here")
        with pytest.raises(ModelNotFound, match="--no-deps"):
            MiniLM()


def test_importing_loads_no_heavy_library():
    code = "import sys, thalweg.models.minilm; assert not {'tokenizers', 'safetensors', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
