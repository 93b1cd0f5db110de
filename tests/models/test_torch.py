"""The torch engine computes the models it claims to, trees as chains, gradients as differences, adapters as trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

pytest.register_assert_rewrite("conformance")

import torch  # noqa: E402
from conformance import BUSH, after, grow, torch_small  # noqa: E402
from small_gguf import write  # noqa: E402
from small_hub import END  # noqa: E402
from small_hub import write as publish  # noqa: E402

import thalweg as tw  # noqa: E402
from thalweg.errors import ModelError, ModelNotFound  # noqa: E402
from thalweg.models import load  # noqa: E402
from thalweg.models.llama_cpp import LlamaCpp  # noqa: E402
from thalweg.models.scorer import Forest  # noqa: E402
from thalweg.models.torch import Adapter, Config, Decoder, TorchLM, load_weights, random_weights  # noqa: E402

LLAMA = Config(layers=3, width=64, heads=4, kv_heads=2, head_width=16, ffn=96, vocabulary=300, context=1024, tied=False)
GEMMA = Config(
    layers=7, width=64, heads=4, kv_heads=2, head_width=32, ffn=96, vocabulary=300, context=128, eps=1e-6,
    rope_base=1e6, window=16, global_every=6, embedding_scale=8.0, activation="gelu", qk_norm=True, post_norms=True,
)  # fmt: skip
SHAPES = {"llama": LLAMA, "gemma3": GEMMA}
WORDS = [(i * 37) % 299 + 1 for i in range(60)]


def lm(config: Config, **options: Any) -> TorchLM:
    weights = random_weights(config, tokenizer=SimpleNamespace(size=config.vocabulary, end=0))
    return TorchLM(weights, streams=4, context=config.context, threads=1, **options)


def whole(scorer: TorchLM, tokens: list[int]) -> np.ndarray:
    """Logits of every position from one batch, without a cache."""
    with torch.no_grad():
        return scorer.decoder.forward(torch.tensor([tokens]))[0].numpy()


# -- the model --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["llama", "gemma3"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def test_logits_are_llama_cpps(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights through a GGUF file; llama.cpp keeps keys and values in 16 bits, hence the bound."""
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    weights = random_weights(SHAPES[family])
    path = write(tmp_path / "small.gguf", weights, family)
    read = load_weights(path)
    assert replace(read.config, eps=0) == replace(weights.config, eps=0)  # eps went through a float32
    assert read.tensors.keys() == weights.tensors.keys()
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in weights.tensors.items())
    other = LlamaCpp(path, streams=1, context=128, threads=1)
    prefix = other.open(WORDS[:2])
    forest = Forest()
    nodes = grow(forest, prefix, list(range(-1, 57)), WORDS[2:])
    scores = other.score(forest)
    ours = Decoder(read.config, read.tensors).forward(torch.tensor([WORDS]))[0].numpy()
    assert max(np.abs(scores.logits(node) - ours[i + 2]).max() for i, node in enumerate(nodes)) < 0.02
    assert np.abs(ours).max() > 2
    other.free()
    read.release()


def test_a_published_folder_is_the_same_model(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    weights = random_weights(SHAPES[family])
    read = load_weights(publish(tmp_path / "model", weights))
    assert replace(read.config, query_scale=0) == weights.config and read.config.scale == weights.config.scale
    assert read.tensors.keys() == weights.tensors.keys()
    for name, tensor in weights.tensors.items():  # Gemma's norms lose a bit on the way, as 1 is taken off
        assert torch.allclose(read.tensors[name], tensor, atol=1e-6, rtol=0)


def test_a_published_folder_answers_typed_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.scheduling import Engine

    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    scorer = load(f"torch:{publish(tmp_path / 'model', random_weights(LLAMA))}", streams=2, threads=1)
    words = scorer.tokenizer
    text = f"the mat, {END} \u00e9\u4e2d"
    assert words.decode(words.encode(text)) == text and words.end not in words.encode(text)
    assert words.encode(END, special=True) == [words.end] and words.control_texts == [END]

    @tw.learned
    def mood(text: str) -> Literal["glad", "sad"]:
        """What mood is the text in?"""
        ...

    engine = Engine(scorer)
    with tw.using(model=engine, cache=False):
        assert mood("the cat sat") in ("glad", "sad")
        assert sum(mood.distribution("the hat").values()) == pytest.approx(1)
    engine.close()


def test_conversion_is_cached_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    path = write(tmp_path / "small.gguf", random_weights(LLAMA), "llama")
    load_weights(path)
    (made,) = (tmp_path / "models").glob("*.safetensors")
    before = made.stat().st_mtime_ns
    load_weights(path)
    assert made.stat().st_mtime_ns == before
    path.unlink()
    write(path, random_weights(LLAMA, seed=1), "llama")
    assert torch.equal(load_weights(path).tensors["norm"], random_weights(LLAMA, seed=1).tensors["norm"])
    half = load_weights(path, dtype="bfloat16")
    assert half.tensors["embed"].dtype == torch.bfloat16 and half.tensors["norm"].dtype == torch.float32


def test_a_damaged_or_unknown_file_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    path = write(tmp_path / "small.gguf", random_weights(LLAMA), "llama")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes()[:3000])
    other = tmp_path / "text.gguf"
    other.write_text("not a model")
    (tmp_path / "empty").mkdir()
    for wrong in (cut, other, tmp_path / "none.gguf", tmp_path / "empty"):
        with pytest.raises(ModelNotFound) as error:
            load_weights(wrong)
        assert error.value.remedy
    with pytest.raises(ModelError, match="float16"):
        load_weights(path, dtype="float16")
    assert not list((tmp_path / "models").glob("*.safetensors"))
    gpt = tmp_path / "gpt.gguf"
    gpt.write_bytes(path.read_bytes().replace(b"llama", b"bloom"))
    with pytest.raises(ModelError, match="bloom"):
        load_weights(gpt)


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(ModelNotFound, match="names no model"):
        load("torch:")
    with pytest.raises(ModelError, match="torch engine"):
        load("smollm2-135m", dtype="bfloat16")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no device"):
            load("torch:smollm2-135m", device="cuda")


# -- scoring ----------------------------------------------------------------------------------------------------


def test_cached_steps_trees_and_batches_agree(family: str) -> None:
    """Gemma's window of 16 is passed by the prompt, inside the tree and by single steps."""
    scorer = lm(SHAPES[family])
    want = whole(scorer, WORDS)
    prefix = scorer.open(WORDS[:9])
    for i in range(9, 40):
        forest = Forest()
        node = forest.chain(prefix, [WORDS[i]])
        scores = scorer.score(forest)
        assert np.abs(scores.logits(node) - want[i]).max() < 1e-4
        scorer.commit(scores, node)
    forest, nodes = Forest(), []
    nodes.append(forest.add(WORDS[40], prefix=prefix))
    for i in range(41, 60):
        nodes.append(forest.add(WORDS[i], parent=nodes[-1]))
        forest.add(7, parent=nodes[-2])  # a branch beside every node
    scores = scorer.score(forest)
    assert max(np.abs(scores.logits(node) - want[40 + i]).max() for i, node in enumerate(nodes)) < 1e-4


@pytest.mark.parametrize("node", range(len(BUSH)))
def test_cells_are_in_token_order_after_a_commit(family: str, node: int) -> None:
    scorer = lm(SHAPES[family])
    prefix = scorer.open(WORDS[:20])
    forest = Forest()
    nodes = grow(forest, prefix, BUSH, WORDS[30 : 30 + len(BUSH)])
    scorer.commit(scorer.score(forest), nodes[node])
    fresh = lm(SHAPES[family])
    other = fresh.open(prefix.tokens)
    length = len(prefix.tokens)
    for mine, its in zip(scorer._cells.layers, fresh._cells.layers, strict=True):
        torch.testing.assert_close(
            mine[prefix.lane, :, :length], its[other.lane, :, :length], atol=1e-4, rtol=0, check_device=False
        )


def test_forests_wider_than_a_pass_are_cut_without_a_trace() -> None:
    scorer = lm(LLAMA)
    words = [(i * 53) % 299 + 1 for i in range(800)]
    want = whole(scorer, words)
    prefix, small = scorer.open(words[:100]), scorer.open(words[:10])
    forest = Forest()
    other = grow(forest, small, [-1, 0], words[10:12])
    chain = grow(forest, prefix, list(range(-1, 699)), words[100:])
    scores = scorer.score(forest)
    assert np.abs(scores.logits(chain[-1]) - want[-1]).max() < 1e-4
    assert np.abs(scores.logits(chain[511]) - want[611]).max() < 1e-4
    assert np.abs(scores.logits(other[1]) - want[11]).max() < 1e-4
    forest, branches = Forest(), []
    for i in range(300):  # 600 rows of 300 branches
        first = forest.add(words[100], prefix=prefix)
        branches.append(forest.add(words[101] if i % 2 else 5, parent=first))
    scores = scorer.score(forest)
    assert max(np.abs(scores.logits(branch) - want[101]).max() for branch in branches[1::2]) < 1e-4
    scorer.commit(scores, branches[299])
    assert np.abs(after(scorer, prefix, [words[102]]) - want[102]).max() < 1e-4
    forest = Forest()
    for _ in range(1500):
        forest.add(1, prefix=prefix)
    with pytest.raises(ModelError, match="does not fit"):
        scorer.score(forest)


def test_hidden_states_times_the_output_are_the_logits() -> None:
    scorer = lm(GEMMA)
    forest = Forest()
    nodes = grow(forest, scorer.open(WORDS[:5]), [-1, 0, 0], WORDS[5:8])
    forest.want[nodes[2]] = False
    forest.hidden.update(nodes[1:])
    scores = scorer.score(forest)
    matrix = scorer.weights.tensors["embed"].numpy()
    assert np.abs(scores.hidden(nodes[1]) @ matrix.T - scores.logits(nodes[1])).max() < 1e-4
    assert scores.hidden(nodes[2]).shape == (64,)
    with pytest.raises(ValueError, match="did not ask"):
        scores.logits(nodes[2])


def test_a_soft_token_of_another_shape_is_refused() -> None:
    scorer = lm(LLAMA)
    forest = Forest()
    forest.add(-1, prefix=scorer.open([1]), soft=np.zeros(63, np.float32))
    with pytest.raises(ValueError, match="embedding row"):
        scorer.score(forest)


def test_probed_queries_and_keys_are_those_of_the_pass(family: str) -> None:
    scorer = lm(SHAPES[family])
    prefix = scorer.open(WORDS[:50])
    for layer in (0, len(scorer.decoder.layers) - 1):
        probed = scorer.probe(WORDS[:50], layer)
        keys = scorer._cells.layers[layer][prefix.lane, : SHAPES[family].kv_heads, :50]
        assert np.abs(probed.key - keys.numpy()).max() < 1e-4
        assert probed.query.shape == (4, 50, SHAPES[family].head_width)
    with pytest.raises(ModelError, match="no layer 9"):
        scorer.probe(WORDS, 9)


def test_the_callers_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    scorer = lm(LLAMA)
    scorer.use_threads(before + 1)
    scorer.open(WORDS)
    assert torch.get_num_threads() == before


def test_bfloat16_is_close_to_float32(family: str) -> None:
    weights = random_weights(SHAPES[family])
    want = Decoder(weights.config, weights.tensors).forward(torch.tensor([WORDS]))[0].numpy()
    half = {name: tensor.bfloat16() if tensor.dim() == 2 else tensor for name, tensor in weights.tensors.items()}
    weights.tensors = half
    scorer = TorchLM(weights, streams=2, context=128, threads=1)
    prefix = scorer.open(WORDS[:50])
    forest = Forest()
    nodes = grow(forest, prefix, list(range(-1, 9)), WORDS[50:])
    scores = scorer.score(forest)
    for i, node in enumerate(nodes):
        assert np.corrcoef(scores.logits(node), want[50 + i])[0, 1] > 0.995


# -- the packaged model -----------------------------------------------------------------------------------------


def test_it_writes_what_llama_cpp_writes(scorer: Any) -> None:
    """Q8_0 rounds activations, so the two may part where two tokens are nearly as likely: not in these."""
    ours = torch_small()
    for text in ("The capital of France is", "1, 2, 3, 4, 5,", "Once upon a time, there was a"):
        written = []
        for engine in (ours, scorer):
            tokens = engine.tokenizer.encode(text)
            prefix = engine.open(tokens[:-1])
            answer, token = [], tokens[-1]
            for _ in range(8):
                forest = Forest()
                node = forest.chain(prefix, [token])
                scores = engine.score(forest)
                token = int(scores.logits(node).argmax())
                engine.commit(scores, node)
                answer.append(token)
            engine.close(prefix)
            written.append(answer)
        assert written[0] == written[1]


def test_it_answers_typed_calls_behind_the_engine() -> None:
    from thalweg.scheduling import Engine

    @tw.learned
    def mood(text: str) -> Literal["glad", "angry"]:
        """What mood is the text in?"""
        ...

    with tw.using(model=Engine(torch_small()), cache=False):
        chances = mood.distribution("I love this, thank you so much!")
        assert mood("I love this, thank you so much!") in ("glad", "angry")
    assert sum(chances.values()) == pytest.approx(1)


# -- gradients --------------------------------------------------------------------------------------------------


def test_gradients_reach_embeddings_and_no_weight(family: str) -> None:
    weights = random_weights(SHAPES[family])
    decoder = Decoder(weights.config, weights.tensors)
    rows = decoder.embed(torch.tensor([WORDS[:20]])).detach().requires_grad_()
    target = torch.tensor(WORDS[1:21])

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(decoder.forward(embeddings=rows)[0], target)

    loss(rows).backward()
    assert rows.grad is not None
    assert not any(tensor.requires_grad for tensor in weights.tensors.values())
    with torch.no_grad():
        step = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
        rate = 2e-3
        change = (loss(rows + rate * step) - loss(rows - rate * step)) / (2 * rate)
    assert float((rows.grad * step).sum()) == pytest.approx(float(change), rel=2e-2)


def test_a_mask_and_positions_make_a_batch_a_tree(family: str) -> None:
    scorer = lm(SHAPES[family])
    prefix = scorer.open(WORDS[:18])
    forest = Forest()
    nodes = grow(forest, prefix, BUSH, WORDS[30 : 30 + len(BUSH)])
    scores = scorer.score(forest)
    count = 18 + len(BUSH)
    seen = torch.ones(count, count, dtype=torch.bool).tril()
    positions = torch.arange(count)
    for i, node in enumerate(nodes):
        path = forest.path(node)
        seen[18 + i, 18:] = False
        seen[18 + i, [18 + j for j in path]] = True
        positions[18 + i] = 18 + len(path) - 1
    tokens = torch.tensor([WORDS[:18] + forest.token])
    added = torch.zeros(count, count).masked_fill(~seen, float("-inf"))
    chosen = torch.arange(count)[None] >= 18
    for mask in (seen, added):
        with torch.no_grad():
            logits = scorer.decoder.forward(tokens, mask=mask[None, None], positions=positions, select=chosen)
        assert logits.shape == (len(BUSH), 300)
        assert max(np.abs(scores.logits(node) - logits[i].numpy()).max() for i, node in enumerate(nodes)) < 1e-4


def test_a_decoder_over_trainable_tensors_learns(family: str) -> None:
    weights = random_weights(replace(SHAPES[family], layers=2))
    tensors = {name: tensor.clone().requires_grad_() for name, tensor in weights.tensors.items()}
    decoder = Decoder(weights.config, tensors)
    optimiser = torch.optim.Adam(tensors.values(), lr=3e-3)
    tokens = torch.tensor([WORDS[:20]])
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(decoder.forward(tokens[:, :-1])[0], tokens[0, 1:])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(tensor.grad is not None for tensor in tensors.values())


# -- adapters ---------------------------------------------------------------------------------------------------

EVERY = ("q", "k", "v", "o", "gate", "up", "down", "output")


def test_a_new_adapter_changes_nothing_and_a_trained_one_learns(tmp_path: Path) -> None:
    scorer = lm(LLAMA)
    adapter = Adapter.new(LLAMA, rank=4, on=EVERY)
    decoder = scorer.decoder.adapted(adapter)
    tokens = torch.tensor([WORDS[:24]])
    assert torch.equal(decoder.forward(tokens), scorer.decoder.forward(tokens))
    before = {name: tensor.clone() for name, tensor in scorer.weights.tensors.items()}
    optimiser = torch.optim.Adam(adapter.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(decoder.forward(tokens[:, :-1])[0], tokens[0, 1:])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in scorer.weights.tensors.items())

    adapter.save(tmp_path / "adapter.safetensors")
    loaded = Adapter.load(tmp_path / "adapter.safetensors", LLAMA)
    with torch.no_grad():
        want = decoder.forward(tokens)[0].numpy()
        assert np.abs(scorer.decoder.adapted(loaded).forward(tokens)[0].numpy() - want).max() < 1e-5
    twin = scorer.adapted(loaded, name="words")
    assert twin.identity != scorer.identity and twin.decoder.output.packed is scorer.decoder.output.packed
    assert np.abs(after(twin, twin.open(WORDS[:23]), [WORDS[23]]) - want[23]).max() < 1e-4
    plain = after(scorer, scorer.open(WORDS[:23]), [WORDS[23]])
    assert np.abs(plain - want[23]).max() > 1  # the scorer it came from is as before


@pytest.mark.parametrize("part", EVERY)
def test_an_adapter_adds_where_its_name_says(part: str) -> None:
    """On one part alone, it is the same as that part's weight with the product added."""
    weights = random_weights(LLAMA)
    adapter = Adapter.new(LLAMA, rank=2, on=(part,), layers=[1])
    (name, one), *_ = adapter.parts.items()
    one.b.data.normal_(generator=torch.Generator().manual_seed(3))
    rows = {"q": (0, 64), "k": (64, 96), "v": (96, 128), "gate": (0, 96), "up": (96, 192)}.get(part, (0, None))
    fused = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate_up", "up": "gate_up"}.get(part, part)
    place = "output" if part == "output" else f"layers.1.{fused}"
    merged = dict(weights.tensors)
    merged[place] = merged[place].clone()
    merged[place][rows[0] : rows[1]] += one.scale * (one.b @ one.a).detach()
    tokens = torch.tensor([WORDS[:10]])
    got = Decoder(LLAMA, weights.tensors).adapted(adapter).forward(tokens)
    assert torch.allclose(got, Decoder(LLAMA, merged).forward(tokens), atol=1e-4)
    assert name == ("output" if part == "output" else f"layers.1.{part}")


def test_an_adapter_for_another_model_is_refused(tmp_path: Path) -> None:
    Adapter.new(LLAMA).save(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="trained for"):
        Adapter.load(tmp_path / "a.safetensors", replace(LLAMA, width=32))
    with pytest.raises(ModelError, match="no layer"):
        Adapter.load(tmp_path / "a.safetensors", replace(LLAMA, layers=2))
    with pytest.raises(ModelError, match="no linear layer"):
        Adapter.new(LLAMA, on=("norm",))
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(ModelNotFound):
            Adapter.load(path, LLAMA)
