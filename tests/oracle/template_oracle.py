# SPDX-License-Identifier: Apache-2.0
"""Chat templates rendered by PyPI jinja2, set up as transformers does it (utils/chat_template_utils.py,
_cached_compile_jinja_template), and by cria_template of the build folder that CRIA_BUILD names; conversations to render."""
import copy
import datetime
import json
import os
import pathlib
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = 1753718400 + 9 * 3600 + 5 * 60 + 7  # 2025-07-28 25:05:07, so early the next day


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


class TemplateDict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)


class TemplateNamespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            TemplateNamespace._check_name(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        TemplateNamespace._check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check_name(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError("underscore")


class Raised(jinja2.exceptions.TemplateError):
    """What a template raises itself."""


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(format):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(format)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now, "dict": TemplateDict(),
                    "namespace": TemplateNamespace}
    return env


ENVIRONMENT = environment()
COMPILED = {}


def reference(source, variables):
    """The text, or an exception."""
    try:
        if source not in COMPILED:
            COMPILED[source] = ENVIRONMENT.from_string(source)
        text = COMPILED[source].render(**copy.deepcopy(variables))  # |indent of a list adds to it
        text.encode()
        return text
    except Exception as e:
        return e


def cria(requests):
    """[(source, variables)] → texts, or dicts with the error."""
    program = ROOT / os.environ.get("CRIA_BUILD", "build/debug") / "tests" / "cria_template"
    lines = "".join(f"{json.dumps(source)}\n{json.dumps(variables)}\n" for source, variables in requests)
    done = subprocess.run([str(program), "--now", str(NOW)], input=lines.encode(), stdout=subprocess.PIPE)
    assert done.returncode == 0, f"cria_template ended with {done.returncode}"
    answers = [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]
    assert len(answers) == len(requests)
    return answers


def difference(source, variables, got):
    """None where cria said what jinja2 does: the text, or that it cannot be, in the template's words where it has some."""
    want = reference(source, variables)
    if isinstance(want, str):
        return None if got == want else f"jinja2 {want!r}\n  cria   {got!r}"
    if not isinstance(got, dict):
        return f"jinja2 {want!r}\n  cria   {got!r}"
    if isinstance(want, Raised):
        words = "".join(c if c.isprintable() or ord(c) >= 0xa0 else "?" for c in str(want))
        if got["error"] != words or got["status"] != -5:
            return f"jinja2 raises {words!r}\n  cria   {got!r}"
    return None


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a \"place\" <now> & later.",
        "parameters": {"type": "object", "properties": {
            "location": {"type": "string", "description": "City, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "integer"}, "at": {"type": "array", "items": {"type": "number"}}}, "required": ["location"]},
        "return": {"type": "string"}}},
    {"type": "function", "function": {"name": "no_arguments", "description": "", "parameters": {"type": "object",
                                                                                               "properties": {}}}}]
CALL = {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"location": "Zürich",
                                                                                             "days": 3, "at": [1.5, 2]}}}
CALL_TEXT = {**CALL, "function": {**CALL["function"], "arguments": json.dumps(CALL["function"]["arguments"])}}
SYSTEM = {"role": "system", "content": "You are  helpful.\n"}


def tool_result(name="get_weather"):
    return {"role": "tool", "name": name, "tool_call_id": "call12345", "content": "{\"temperature\": 21.5}"}


CONVERSATIONS = {
    "one turn": {"messages": [user("Hello!")]},
    "no prompt": {"messages": [user("Hello!"), assistant("Hi.")], "add_generation_prompt": False},
    "system": {"messages": [SYSTEM, user("Hello!")]},
    "many turns": {"messages": [SYSTEM] + [m for i in range(5) for m in (user(f"Question {i}?"), assistant(f" Answer {i}.\n"))]
                   + [user("And?")]},
    "no system, many": {"messages": [user("a"), assistant("b"), user("c"), assistant("d"), user("e")]},
    "unicode": {"messages": [{"role": "system", "content": "Ünïcödé «»"},
                             user("你好, мир! 👩‍👩‍👧 \u00a0\u2028 'q' \"d\" <b>&amp;</b> {{ x }}"),
                             assistant("ﬁ é é"), user("\U0001f600\n\n")]},
    "empty": {"messages": [user("")]},
    "empty answers": {"messages": [{"role": "system", "content": ""}, user(" "), assistant(""), user("\n")]},
    "no messages": {"messages": []},
    "two users": {"messages": [user("a"), user("b")]},
    "answer first": {"messages": [assistant("a"), user("b")]},
    "system late": {"messages": [user("a"), assistant("b"), SYSTEM, user("c")]},
    "unknown role": {"messages": [user("a"), {"role": "judge", "content": "guilty"}]},
    "no content": {"messages": [{"role": "user"}]},
    "null content": {"messages": [user("a"), assistant(None), user("b")]},
    "parts": {"messages": [user([{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}])]},
    "picture": {"messages": [user([{"type": "image"}, {"type": "text", "text": "What is this?"}]), assistant("A cat.")]},
    "thinking": {"messages": [user("2+2?"), assistant("<think>\nIt is 4.\n</think>\n\n4"), user("3+3?")], "enable_thinking": True},
    "not thinking": {"messages": [user("2+2?"), assistant("4", reasoning_content="It is 4."), user("3+3?")],
                     "enable_thinking": False, "thinking": False},
    "tools": {"messages": [user("Weather?")], "tools": TOOLS},
    "tools, system": {"messages": [SYSTEM, user("Weather?")], "tools": TOOLS},
    "tool call": {"messages": [SYSTEM, user("Weather?"), assistant("", tool_calls=[CALL])], "tools": TOOLS},
    "tool results": {"messages": [user("Weather?"), assistant(None, tool_calls=[CALL]), tool_result(), assistant("21.5 °C."),
                                  user("Thanks")], "tools": TOOLS},
    "results as text": {"messages": [SYSTEM, user("Weather?"), assistant("Let me see.", tool_calls=[CALL_TEXT]), tool_result()],
                        "tools": TOOLS},
    "two calls": {"messages": [user("Weather?"), assistant("", tool_calls=[CALL, {**CALL, "id": "call67890"}]), tool_result(),
                               {**tool_result(), "tool_call_id": "call67890"}, user("So?")], "tools": TOOLS},
    "no tools": {"messages": [user("Hello!")], "tools": None},
    "empty tools": {"messages": [user("Hello!")], "tools": [], "documents": []},
    "documents": {"messages": [user("Hello!")], "documents": [{"title": "One", "text": "Text 1"}, {"title": "Two", "text": "2"}]},
    "date": {"messages": [user("Hello!")], "date_string": "26 Jul 2024", "tools_in_user_message": False, "tools": TOOLS},
}
COMMON = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "add_generation_prompt": True}
