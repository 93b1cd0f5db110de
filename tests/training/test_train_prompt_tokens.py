"""Prompt tokens: read exactly as if appended to the text, trained to what the model itself says later."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from thalweg.decoding.drafters.prompt_tokens import PromptTokens  # noqa: E402
from thalweg.errors import DataError, ModelError  # noqa: E402
from thalweg.models.torch import Config, Decoder, random_weights  # noqa: E402
from thalweg.training.prompt_tokens import Text, _loss, accuracy, train_prompt_tokens  # noqa: E402


@pytest.fixture(scope="module")
def toy() -> SimpleNamespace:
    weights = random_weights(
        Config(layers=2, width=32, heads=4, kv_heads=2, head_width=8, ffn=64, vocabulary=97, context=128)
    )
    return SimpleNamespace(decoder=Decoder(weights.config, weights.tensors), name="torch:toy")


def test_an_insertion_sees_what_it_would_see_at_the_end_of_the_text(toy: SimpleNamespace) -> None:
    tokens = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38]
    rows = torch.randn(3, 32) * 0.1
    places = torch.tensor([0, 2, 3, 6])
    inserted = Text(toy.decoder, tokens).ahead(rows, places)
    for n, place in enumerate(places.tolist()):
        appended = torch.cat([toy.decoder.embed(torch.tensor(tokens[: place + 1])), rows])[None]
        with torch.no_grad():
            expected = toy.decoder.forward(embeddings=appended)[0, -3:]
        assert torch.allclose(inserted[n], expected, atol=1e-4)


def test_the_texts_own_logits_are_those_of_a_plain_pass(toy: SimpleNamespace) -> None:
    tokens = [3, 14, 15, 92, 65]
    with torch.no_grad():
        assert torch.allclose(
            Text(toy.decoder, tokens).logits, toy.decoder.forward(torch.tensor([tokens]))[0], atol=1e-4
        )


def test_training_brings_the_guesses_nearer_to_the_model(toy: SimpleNamespace) -> None:
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(0, 97, (24,), generator=generator).tolist() for _ in range(20)]
    start = (0.02 * torch.randn(2, 32, generator=generator)).numpy()
    trained = train_prompt_tokens(toy, texts, n_tokens=2, rows=start, epochs=6, learning_rate=3e-2)
    assert trained.rows.shape == (2, 32) and trained.rows.dtype == np.float32

    def loss(rows: np.ndarray) -> float:
        with torch.no_grad():
            every = torch.arange(20)
            return sum(float(_loss(Text(toy.decoder, text), torch.tensor(rows), every)) for text in texts)

    assert loss(trained.rows) < 0.95 * loss(start)
    again = train_prompt_tokens(toy, texts, n_tokens=2, rows=start, epochs=6, learning_rate=3e-2)
    assert np.allclose(again.rows, trained.rows, atol=1e-4)  # seeded


def test_accuracy_counts_the_tokens_of_the_text(toy: SimpleNamespace) -> None:
    found = accuracy(toy, [[5] * 12], np.zeros((2, 32), np.float32), places=4)
    assert [one.distance for one in found] == [2, 3] and all(one.n == 4 for one in found)
    assert all(one.top[1] <= one.top[5] <= one.top[10] for one in found)


def test_texts_that_are_too_short_are_refused(toy: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="more than 5"):
        train_prompt_tokens(toy, [[1, 2, 3]])


def test_rows_survive_the_file_and_other_files_are_refused(tmp_path) -> None:
    rows = PromptTokens(np.arange(6, dtype=np.float32).reshape(2, 3), "toy")
    rows.save(tmp_path / "a.safetensors")
    again = PromptTokens.load(tmp_path / "a.safetensors")
    assert np.array_equal(again.rows, rows.rows) and again.model == "toy"
    with pytest.raises(ModelError, match="train"):
        PromptTokens.load(tmp_path / "missing.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError):
        PromptTokens.load(tmp_path / "b.safetensors")
