# SPDX-License-Identifier: Apache-2.0
"""Small templates: those of templates/*.txt, one a line, for every construct, filter, test and method, edge values and errors
included; and those that blanks and line ends matter to."""
import pathlib

VARIABLES = {
    "n": 3, "zero": 0, "neg": -7, "big": 9007199254740993, "f": 2.5, "g": -0.1, "h": 1e16, "tiny": 1e-7, "third": 0.1,
    "t": True, "no": False, "nil": None, "s": "Hello, World", "e": "", "u": "Zürich ß ΑΣ 你好 😀é", "sp": " \t a b  c\n ",
    "html": "<a href=\"x\">'&'</a>", "lines": "one\ntwo\r\nthree\n\nfive\u2028six", "q": "it's", "qq": "it's \"q\"",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "nest": [[1, 2], [3, [4, 5]]], "el": [], "mixed": [1, "a", None, 2.0, True],
    "d": {"a": 1, "b": [1, 2], "c": {"x": "y"}, "items": "mine", "get": 5, "é": "ü", "pop": 1}, "ed": {},
    "people": [{"name": "Bob", "age": 30, "tags": ["x"]}, {"name": "alice", "age": 25}, {"name": "Carl", "age": 30, "ok": True},
               {"name": "bob", "age": None}],
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
    "keys": {"1": "one", "B": 2, "a": 3},
}


def small(kind):
    text = (pathlib.Path(__file__).parent / "templates" / f"{kind}.txt").read_text()
    return [line for line in text.split("\n") if line]


# Blanks and line ends, and tags that do not end.
WHOLE = [
    "a{# comment #}b {#- strip -#} c {# {{ x }} {% y %} #}d {# multi\nline #}\ne", "{# c #}\n  {# c -#}   \nl", "  {# c #}  \nx",
    "{% raw %}{{ x }} {% if %}{# c #}{% endraw %}\n {%- raw -%} a {{ b }} {%- endraw -%} c", "{% raw %}\n  x\n{% endraw %}\ny",
    "  {% raw %}  a\n  {% endraw %}  b", "{%-raw%}a{%endraw+%}\nb", "a {%+ raw %} b {%+ endraw -%}  c",
    "a{{ 'x' }}\nb\n  {% if true %}\n  c\n  {% endif %}\nd {% if true %} e {% endif %}\n{%- if true -%}\n  f  \n{%- endif +%}\ng\n",
    "  {%+ if true %}h{% endif %}\n {{- ' i ' -}} \nj\n\t{% set x = 1 %}\t\nk\n{{ \"a\" }}\n\n{{ \"b\" }}\n",
    "{% if true -%}   x   {%- endif %}\n", "a\n", "a\n\n", "\n", "\n\n", "", " ", "a\r\nb\rc\n", "{{ 'a\r\nb' }}",
    "x\n{% if true %}\n\ny{% endif %}\n\n", "  {{ n }}\n  {% if n %}  {{ n }}{% endif %}\n", "a\n  {%- if n %}\n b {%- endif %}\n  c",
    "\u00a0{% if n %}\u00a0{%- endif %}x", "a \u3000{%- if n %}b{% endif %}",
    "{% if n %}\n  {% for x in l %}\n    {{ x }}\n  {% endfor %}\n{% endif %}\nend", "{{ n\n}}\n\n{{\nn }}",
    "{%\nif n\n%}a{%\nendif\n%}b", "{{ n -}}\n\n  b", "{{- n }} {{+ n }}", "{%- set x = 1 -%}\n a", "{{ 'a\\\nb' }}",
    "{{ 'x' -}}{{- 'y' }} - {{ -1 }} {{-1}} {{ 1 -}} ", "{% set x = 1 -%}\n{%- if x %}\n  \n{% endif -%}\n", "{", "{ {", "a{",
    "{{{ 1 }}}", "}}", "%}", "{{ '{{' }}", "{# #", "{#- -#}", "{##}", "{# a -#}\n\n b {#- c +#}\nd", "{{ n", "{% n", "{# n",
    "{% raw %} n", "{{ n }", "{% if n %}{% endif", "{% raw %}{% endraw", "{{ n %}", "{% if n }}", "{{", "{%", "{#", "{% raw",
    "{% set x %}\n a\n{% endset %}\n[{{ x }}]", "{% macro m() %}\n  a\n{% endmacro %}\n[{{ m() }}]",
    "{% for x in l -%}\n {{ x }}\n{%- endfor %}", "a  {%- if n -%}  b  {%- else -%}  c  {%- endif -%}  d",
    "\t {% if n %}\t a\n\t {% endif %} b", "a{% if n +%}\nb{% endif +%}\nc",
]
