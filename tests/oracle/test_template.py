# SPDX-License-Identifier: Apache-2.0
"""cria's chat templates against PyPI jinja2, set up as transformers does it: real templates out of packages that bring them
along, with conversations of every kind, and a few hundred small ones for every construct, filter, test and method."""
import ast
import importlib.util
import pathlib
import time

import pytest
import template_cases as cases
from template_oracle import COMMON, CONVERSATIONS, Raised, cria, difference, reference


# ---- real templates ----

def package(name):
    spec = importlib.util.find_spec(name)
    assert spec, "pip install --no-deps -r tests/requirements-templates.txt"
    return pathlib.Path(next(iter(spec.submodule_search_locations)))


def real_templates():
    """{where it was found: template}: axolotl's files, and the strings in unsloth's source that are templates."""
    found = {path.stem: path.read_text() for path in sorted(package("axolotl").glob("utils/chat_templates/templates/*.jinja"))}
    for node in ast.walk(ast.parse((package("unsloth") / "chat_templates.py").read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{%" in node.value and "endfor" in node.value:
            found.setdefault(f"unsloth {node.lineno}", node.value)
    return {text: name for name, text in reversed(found.items())}


def test_real_templates(tally):
    templates = real_templates()
    assert len(templates) >= 40
    asked = [(source, COMMON | variables, f"{name}, {conversation}") for source, name in templates.items()
             for conversation, variables in CONVERSATIONS.items()]
    answers = cria([(source, variables) for source, variables, _ in asked])
    wrong = [f"{what}: {d}" for (source, variables, what), got in zip(asked, answers) if (d := difference(source, variables, got))]
    assert not wrong, f"{len(wrong)} of {len(asked)}, the first: {wrong[0]}"
    wants = [reference(source, variables) for source, variables, _ in asked]
    for (_, _, what), want, got in zip(asked, wants, answers):  # and not for want of something
        assert isinstance(want, (str, Raised)) or got["status"] == -3, f"{what}: {got}"
    texts, raised = sum(isinstance(w, str) for w in wants), sum(isinstance(w, Raised) for w in wants)
    assert texts > len(asked) / 2 and raised > 20
    tally.append(f"chat templates: {len(templates)} × {len(CONVERSATIONS)} conversations: {texts} texts and {raised} refusals in "
                 f"the template's words equal to jinja2's, {len(asked) - texts - raised} refused by both")


# ---- small ones ----

SMALL = {kind: cases.small(kind) for kind in ("filters", "tests", "methods", "statements")} | {
    "expressions": ["{{ " + brackets % line + " }}" for line in cases.small("expressions") for brackets in ("[%s]", "%s")],
    "whole": cases.WHOLE}


@pytest.mark.parametrize("kind", SMALL)
def test_small(kind):
    sources = SMALL[kind]
    answers = cria([(source, cases.VARIABLES) for source in sources])
    wrong = [f"{s}\n  {d}" for s, got in zip(sources, answers) if (d := difference(s, cases.VARIABLES, got))]
    assert not wrong, f"{len(wrong)} of {len(sources)}:\n" + "\n".join(wrong)
    known = [reference(s, cases.VARIABLES) for s in sources]
    assert sum(isinstance(w, str) for w in known) > len(sources) / 4


def test_words_of_undefined():
    """What is undefined is named as jinja2 names it."""
    for source in ("{{ missing.x }}", "{{ d.missing.x }}", "{{ d['a b'].x }}", "{{ none.x.y }}", "{{ l[7].x }}", "{{ d.pop('a') }}",
                   "{{ missing() }}", "{{ 'a'.nosuch() }}", "{{ el|first + 1 }}", "{{ (1 if false).x }}"):
        want = reference(source, cases.VARIABLES)
        got = cria([(source, cases.VARIABLES)])[0]
        words = str(want).replace("the inline if-expression on line 1 ", "the inline if-expression ")
        assert words in got["error"] and "line 1" in got["error"], (want, got)


@pytest.mark.parametrize("source, name", [
    *((f"{{% {tag} 'x' %}}", tag) for tag in ("include", "import", "extends", "block", "from", "autoescape", "nosuch")),
    *((f"{{{{ 'a'|{name} }}}}", name) for name in ("pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr", "nosuch")),
    *((f"{{{{ 'a'.{name}() }}}}", name) for name in ("casefold", "encode", "expandtabs", "format_map", "translate")),
    ("{{ ['a']|map('nosuch') }}", "map"), ("{{ 1 is nosuch }}", "nosuch"), ("{{ lipsum() }}", "lipsum"), ("{{ 5 .bit_length() }}",
                                                                                                      "bit_length"),
    ("{{ 'a'.upper }}", "builtin_function_or_method"), ("{{ l|map('string') }}", "generator"), ("{{ strftime_now('%Q') }}", "%Q")])
def test_refused_by_name(source, name):
    got = cria([(source, cases.VARIABLES)])[0]
    assert isinstance(got, dict) and got["status"] == -4 and name in got["error"], got


# ---- limits ----

@pytest.mark.parametrize("source, word", [
    ("{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}", "steps"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels deep"),
    ("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}", "levels deep"),
    ("{{ 'x' * 999999999999 }}", "CRIA_TEMPLATE_MAX_VALUES"),
    ("{{ [1] * 999999999 }}", "CRIA_TEMPLATE_MAX_VALUES"),
    ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "CRIA_TEMPLATE_MAX_OUTPUT"),
    ("{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "CRIA_TEMPLATE_MAX_VALUES"),
    ("{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "CRIA_TEMPLATE_MAX_VALUES"),
    ("{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}", "levels deep"),
    ("{% set ns = namespace(l=[]) %}{% for a in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l == [ns.l] }}", "levels deep"),
    ("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "levels deep"),
    ("{% set ns = namespace(l=[1]) %}{% for a in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l|list }}"
     "{{ ns.l|string }}", ""),
    ("{{ 'a'.ljust(999999999999) }}", ""), ("{{ '%999999999d' % 1 }}", "width"), ("{{ '{:999999999}'.format(1) }}", "width"),
    ("{{ range(999999999) }}", "Range too big"), ("{{ 'x'|indent(9999999999) }}", "CRIA_TEMPLATE_MAX_VALUES"),
    ("{{ 'ab' | replace('', 'x' * 9999999) | length }}" * 5, ""), ("{{ l|batch(999999999, 1)|list }}", ""),
    ("{{ l|slice(999999999)|list }}", ""), ("{{ 9223372036854775807 + 1 }}", "64 bits"), ("{{ 9223372036854775808 }}", "64 bits"),
    ("{{ 3 ** 99 }}", "64 bits"), ("{{ '99999999999999999999'|int }}", "64 bits"), ("{{ 1e300|int }}", "64 bits"),
    ("{{ " + "(" * 999 + "1" + ")" * 999 + " }}", "brackets"), ("{{ " + "-" * 9999 + "1 }}", "nesting"),
    ("{{ " + "not " * 9999 + "1 }}", "nesting"), ("{{ 1" + " if 1 else 1" * 9999 + " }}", "nesting"),
    ("{{ 1" + " + 1" * 9999 + " }}", "levels deep"), ("{{ x" + ".a" * 9999 + " }}", "levels deep"),
    ("{{ 1" + "|string" * 9999 + " }}", "levels deep"), ("{% filter upper" + "|upper" * 9999 + " %}{% endfilter %}", "levels deep"),
    ("{% if 1 %}" * 999, "nesting"), ("{% for x in " + "[" * 999, "brackets"), ("{% set " + "(" * 999 + "x", "brackets"),
    (" " * (1 << 20) + "x", "CRIA_TEMPLATE_MAX_SOURCE"),
])
def test_limits(source, word):
    start = time.monotonic()
    got = cria([(source, cases.VARIABLES)])[0]
    assert time.monotonic() - start < 20  # seconds
    assert isinstance(got, dict) and got["status"] in (-3, -4, -6) and word in got["error"], str(got)[:300]


@pytest.mark.parametrize("source", [
    "{{ s.strip(c) }}", "{{ s.split('ab')|length }}", "{{ s.rsplit('ab')|length }}", "{{ s.rfind('b' * 50000) }}", "{{ s.count('aa') }}",
    "{{ s|replace('a', 'b')|length }}", "{{ s|title|length }}", "{{ s[::-1]|length }}", "{{ s|list|unique|list|length }}",
    "{{ s|list|sort|length }}", "{% for c in s[:20000] %}{{ loop.last }}{{ s[loop.index0] }}{% endfor %}", "{{ s|tojson|length }}",
    "{{ d|length }}{{ d|dictsort|length }}{{ d|tojson|length }}", "{% for k in d %}{% if d[k] %}{% endif %}{% endfor %}",
    "{% for k in d %}{{ k in l }}{% endfor %}", "{{ d == d.copy() }}{{ l == l + [] }}",
    "{% for x in l %}{% set ns = namespace(a=x) %}{% endfor %}", "{% for x in l %}{{ u[5000] }}{% endfor %}",
])
def test_no_blow_up(source):
    """Large values: an answer or a limit, soon."""
    variables = {"s": "ab" * 500_000, "c": "ab" * 10_000, "u": "é" * 100_000, "d": {f"key {i}": i for i in range(100_000)},
                 "l": list(range(100_000))}
    start = time.monotonic()
    got = cria([(source, variables)])[0]
    assert time.monotonic() - start < 20
    assert isinstance(got, str) or got["status"] == -6, got
