# SPDX-License-Identifier: Apache-2.0
"""Small templates, one a line of these texts: every construct, filter, test and method, edge values and errors included."""

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

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2, -7 // 2, 7 // -2, -7 // -2, 7 % 3, -7 % 3, 7 % -3, -7 % -3
7.5 // 2, -7.5 // 2, 7.5 % 2, -7.5 % 2, 7 % 2.5, -7 % -2.5, 0.0 // 3, -0.0 % 3
1 / 2, 4 / 2, 1 / 3, 1e300 * 1e10, -1e300 * 1e10, 2 ** 10, 2 ** -1, 2.0 ** 3, -2 ** 2, 2 ** 3 ** 2, 0 ** 0
1 / 0
1 // 0
1 % 0
1.5 % 0
0 ** -1
true + 1, true * 3, -true, +false, true / 2, not 1, not none
1 == 1.0, 1 == true, 0 == false, 2 == true, '1' == 1, none == false, [] == (), [1] == [1.0], {'a': 1} == {'a': 1.0}
1 < 2 < 3, 1 < 3 < 2, 1 == 1 != 2, 3 > 2 >= 2, 'a' < 'b' <= 'b', [1, 2] < [1, 3], (1, 2) < (1, 2, 3), 1 in [1] == true
1 < 'a'
none < 1
{} < {}
[1] < ['a']
[] < ()
'a' < 1
n + none
'a' + 1
1 + 'a'
[1] + (2,)
'a' * 3, 3 * 'ab', 'a' * -1, 'a' * true, [1, 2] * 2, (1,) * 3, 2 * [none], e * 100
'a' * 'b'
'a' * 2.0
1.5 * [1]
'a' - 'b'
-'a'
-none
+l
f, g, h, tiny, third, 1e16, 1e15, 123456789012345680.0, 1e22, 1e-4, 1e-5, 0.0001234, 100.0, 1.0, -0.0, 1e100, 5e-324, 1.7976931348623157e308
0.1 + 0.2, 1 / 3, 2 / 3, 1e23, 9007199254740993.0, 123456.789e3, 4.35, 0.3, 1e21 + 1, 1.1e-10
0x1F, 0b101, 0o17, 1_000, 0, 00, 1_0.5_0, 1e3, 1E+3, 1.5e-3
big, big + 1, big * 3, 9223372036854775807, -9223372036854775807 - 1
[1, 2.0, 'a', none, true, (1,), (), {'a': 1}, [], {}]
'it\'s', "say \"hi\"", 'a\nb', 'a\tb\\', '\x41\u00e9\101\0', 'a' 'b' "c", '\q', '\é', '\中'
['it\'s', "say \"hi\"", 'both\'"', 'a\nb\t\r\\', '\x00\x1f\x7f\x80\xa0é中😀\u2028\u200b\xad\ufeff']
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] ~ missing ~ {'k': 'v'}
1 if true, 1 if false, (1 if false) is defined, 1 if false else 2, 1 if false else 2 if false else 3
'x' if missing else 'y', 'x' if e else 'y', 'x' if el else 'y', 'x' if zero else 'y', 'x' if 0.0 else 'y', 'x' if ' ' else 'y'
1 and 2, 0 and 2, 1 or 2, 0 or '', none or missing or 'z', not 1 or 2, not (1 and 0), 1 and none
missing, missing is defined, missing or 1, [missing], missing == missing2, missing == none, missing != 1
missing.a
missing['a']
missing[0]
missing[1:]
missing()
missing + 1
1 + missing
-missing
missing < 1
1 < missing
missing | length, missing | list, missing | join, missing | upper, missing | string, missing | first, missing | default('d'), missing | trim
missing in [1], 1 in missing, missing | last, missing | reverse | list, missing | sort, missing | map('upper') | list, missing | items | list
d.missing, d.missing is defined, d['missing'] is undefined, l[10] is defined, l.x is defined, s.x is defined, none.x is defined
d.missing.x
l[10].x
none.x.y
n.x.y
d.a, d['a'], d.b[0], d.c.x, d['c']['x'], d.items is callable, d['items'], d.get('a'), d.get('zz'), d.get('zz', 7), d['get'], d.é
d.pop is defined, d.pop
d['pop'], ed.pop is defined
d.pop('a')
d.update({'x': 1})
l.append(4)
l.append is defined, l.append
l.sort()
d.clear()
d.setdefault('a', 1)
l['append']
l.pop
s.__class__
s.__class__.x
d.__class__ is defined, s['__class__'] is defined
l[0], l[-1], l[-3], l[-4] is defined, l[true], l['0'] is defined, l[1.0] is defined, l.0, l.1, s[0], s[-1], u[1], u[-1], nest[1][1][0]
s[1:4], s[:4], s[4:], s[:], s[::2], s[::-1], s[-3:], s[:-3], s[5:2], s[100:], s[-100:2], s[1:10:3], s[10:1:-3], u[3:9], u[::-1], e[::-1]
l[1:], l[::-1], l[:-1], l[::2], (1, 2, 3)[1:], range(10)[2:8:2], range(5)[::-1], range(3)[0], range(5)[-1], el[1:]
s[::0]
s['a':]
l[1.5:]
n[1:]
d[1:]
d.keys()[1:]
missing[:1]
l[none:none], l[true:], l[:none:none]
range(3), range(3) | list, range(1, 4) | list, range(5, 0, -2) | list, range(0) | list, range(3, 1) | list
range(10, step)
range(0, 10, 3), range(3) | length, 2 in range(3), range(3) == range(3)
range(100001)
range(1, 2, 0)
range(1.5)
range()
range('a')
1 in l, 9 in l, 'a' in 'abc', '' in 'abc', 'x' not in 'abc', 'a' in d, 1 in d, none in mixed, 1.0 in l, true in [1], 'Z' in u
1 in 'abc'
1 in n
1 in none
[] in d
l in d
{[]: 1}
{1: 'a', 1.0: 'b', true: 'c'}, {'a': 1, 'b': 2, 'a': 3}, {(1, 2): 3}, {none: 1, 1.5: 2}
{'a': 1}['a'], [1, 2][0], (1, 2)[1], 'abc'[1], {'a': {'b': 1}}.a.b, {1: 2}[1], {1: 2}[1.0], {1: 2}[true]
(), (1), (1,), (1, 2), 1, 2
[1, 2,], {'a': 1,}, (1, 2,)
dict(a=1, b=2), dict({'x': 1}, y=2), dict([('k', 'v')]), dict(), dict(a=1).a
dict(1)
dict([1])
namespace(a=1).a, namespace({'x': 1}).x, namespace(), namespace(a=1, b='x')
namespace(_a=1)
namespace(a=1).b is defined, namespace(items=5).items, namespace(a=1)['a']
cycler('a', 'b').next(), cycler(1, 2).current
cycler()
joiner()(), joiner('|')()
l(), 1
n()
s.upper()()
"""

FILTERS = r"""
{{ -3 | abs }} {{ 2.5 | abs }} {{ -2.5 | abs }} {{ true | abs }}
{{ 'a' | abs }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [] | batch(2) | list }} {{ 'abc' | batch(2) | list }}
{{ 'hELLO wORLD' | capitalize }} {{ 'élan' | capitalize }} {{ 5 | capitalize }} {{ '' | capitalize }} {{ 'ǆabc' | capitalize }}
[{{ 'ab' | center(7) }}] [{{ 'abc' | center(6) }}] [{{ 'a' | center(0) }}] [{{ 'é' | center(4) }}]
{{ l | count }} {{ s | length }} {{ u | length }} {{ d | length }} {{ '' | length }} {{ range(4) | count }} {{ d.keys() | length }}
{{ 5 | length }}
{{ none | length }}
{{ l | map('string') | length }}
{{ missing | default }}|{{ missing | default('x') }}|{{ '' | default('x') }}|{{ '' | default('x', true) }}|{{ none | d('x') }}|{{ none | d('x', boolean=true) }}|{{ 0 | default(default_value='q', boolean=true) }}
{{ {'b': 1, 'A': 2, 'c': 0} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'A': 2, 'c': 0} | dictsort(by='value') }} {{ {'b': 1, 'A': 2} | dictsort(false, 'key', true) }}
{{ l | dictsort }}
{{ {'a': 1, 2: 3} | dictsort }}
{{ d | dictsort(by='x') }}
{{ html | e }} {{ html | escape }} {{ html | escape | escape }} {{ html | forceescape }} {{ 5 | e }} {{ html | e | forceescape }}
{{ 1 | filesizeformat }} {{ 999 | filesizeformat }} {{ 1000 | filesizeformat }} {{ 1500000 | filesizeformat }} {{ 1024 | filesizeformat(true) }} {{ 1e30 | filesizeformat }}
{{ l | first }} {{ s | first }} {{ d | first }} {{ el | first }} {{ u | first }} {{ l | last }} {{ s | last }} {{ el | last }} {{ d | last }} {{ range(3) | last }} {{ d.keys() | last }}
{{ 5 | first }}
{{ l | map('string') | last }}
{{ '1.5' | float }} {{ 'x' | float }} {{ 'x' | float(2.5) }} {{ 3 | float }} {{ ' 1e3 ' | float }} {{ '1_000.5' | float }} {{ 'inf' | float }} {{ '.5' | float }} {{ '5.' | float }} {{ none | float }} {{ '-1.5E2' | float }} {{ '007.5' | float }}
{{ '42' | int }} {{ '42.9' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(0, 16) }} {{ '1f' | int(base=16) }} {{ '101' | int(0, 2) }} {{ 42.9 | int }} {{ -42.9 | int }} {{ true | int }} {{ ' 12 ' | int }} {{ '1_000' | int }} {{ none | int }} {{ '-5' | int }} {{ '+5' | int }} {{ '1__0' | int }} {{ '_1' | int }} {{ [] | int(3) }} {{ '1e3' | int }}
{{ missing | int }}
{{ '%s is %d and %.2f, %5s|%-5s|%05d|%x|%r|%%|%+d|%e|%g' | format('a', 5, 1.5, 'b', 'c', 42, 255, 'q', 7, 12345.678, 0.0001) }}
{{ '%(a)s-%(b)d' | format(a='x', b=2) }} {{ '%s' % 'a' }} {{ '%s %s' % ('a', 1) }} {{ '%s' % [1] }} {{ '%s' % none }} {{ '%c' % 'x' }} {{ '%5.1f|%-8s|' % (2.25, 'ab') }} {{ '%3d|%-3d|%03d' % (5, 5, 5) }} {{ '%.3s' % 'abcdef' }} {{ '%(a)s' % d }}
{{ '%s %s' | format('a') }}
{{ '%d' | format('a') }}
{{ 'x' % 1 }}
{{ '%s' % (1, 2) }}
{{ '%q' % 1 }}
{{ people | groupby('age', default=0) | map('first') | list }}
{{ [{'a': 'X', 'v': 1}, {'a': 'x', 'v': 2}, {'a': 'b', 'v': 3}] | groupby('a') }} {% for g in [{'a': 1}, {'a': 2}, {'a': 1}] | groupby('a') %}{{ g.grouper }}:{{ g.list | length }} {% endfor %}
{% for k, v in people[:2] | groupby('name') %}{{ k }}={{ v | length }};{% endfor %}
{{ lines | indent }}|{{ lines | indent(2, true) }}|{{ lines | indent(width=2, blank=true) }}|{{ 'a\n\nb' | indent('> ') }}|{{ '' | indent(2, true) }}|{{ 'x\n' | indent }}
{{ 5 | indent }}
{{ d.c | items | list }} {{ ed | items | list }} {% for k, v in d.c | items %}{{ k }}{{ v }}{% endfor %}
{{ l | items | list }}
{{ l | join }} {{ l | join(', ') }} {{ people | join(';', attribute='name') }} {{ 'abc' | join('-') }} {{ d | join(',') }} {{ mixed | join('|') }} {{ [] | join('x') }} {{ [html | safe, '<'] | join('<') }}
{{ 5 | join }}
{{ d | list }} {{ 'aé😀' | list }} {{ (1, 2) | list }} {{ range(3) | list }} {{ d.c.items() | list }} {{ d.c.values() | list }}
{{ 5 | list }}
{{ 'ÀÉ HeLLo ΑΣ ΑΣΑ Σ' | lower }} {{ 'straße ŉ ﬁ ǆ' | upper }} {{ 5 | upper }} {{ none | lower }} {{ u | upper }} {{ u | lower }}
{{ ls | map('upper') | list }} {{ people | map(attribute='name') | list }} {{ people | map(attribute='tags.0', default='none') | list }} {{ people | map(attribute='x', default=1) | list }} {{ [[1], [2, 3]] | map('length') | list }} {{ ['a,b'] | map('replace', ',', '-') | list }} {{ [1, 2] | map('string') | join('+') }} {{ [3, 1] | map('default', 1) | list }} {{ nest | map('first') | list }} {{ nest | map(attribute=0) | list }}
{{ l | map | list }}
{{ l | map('nosuch') | list }}
{{ l | map('upper', 1) | list }}
{{ l | map(attribute='a', foo=1) | list }}
{{ l | max }} {{ l | min }} {{ ls | max }} {{ ls | min }} {{ ls | min(true) }} {{ people[:3] | max(attribute='age') }} {{ [] | max }} {{ [1, 1.0] | max }} {{ s | max }} {{ [2.5, 1] | min }}
{{ mixed | max }}
{{ ls | reject('in', ['a', 'b']) | list }} {{ [0, 1, '', 'a', none] | select | list }} {{ [0, 1, '', 'a', none] | reject | list }} {{ l | select('odd') | list }} {{ l | select('gt', 1) | list }} {{ l | reject('equalto', 1) | list }} {{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ people | selectattr('ok') | list | length }} {{ people | rejectattr('ok', 'defined') | list | length }} {{ people | selectattr('age', 'none') | map(attribute='name') | join }} {{ people | selectattr('name', 'in', ['Bob', 'x']) | list | length }} {{ people | rejectattr('age') | list | length }}
{{ l | select('nosuch') | list }}
{{ l | selectattr | list }}
{{ people | selectattr('age', '>', 26) | list }}
{{ l | select('gt') | list }}
{{ s | replace('l', 'L') }} {{ s | replace('l', 'L', 1) }} {{ s | replace('', '-') }} {{ s | replace('', '-', 3) }} {{ 'aaa' | replace('aa', 'b') }} {{ 123 | replace(2, 'x') }} {{ s | replace('zz', 'y') }} {{ '' | replace('', 'x') }} {{ u | replace('ü', 'ue') }} {{ 'a' | replace('a', '', count=0) }} {{ 'éa' | replace('', '.') }}
{{ s | replace('a') }}
{{ l | reverse | list }} {{ s | reverse }} {{ u | reverse }} {{ el | reverse | list }} {{ range(3) | reverse | list }} {{ d | reverse | first }} {{ (1, 2) | reverse | list }}
{{ 5 | reverse }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 2.5 | round(0, 'floor') }} {{ 2.1 | round(method='ceil') }} {{ 42 | round }} {{ 42.55 | round(1, 'floor') }} {{ 1234.5 | round(-2) }} {{ 2.675 | round(2) }} {{ 1e20 | round(1) }} {{ -2.5 | round }} {{ 0.5 | round }} {{ true | round }} {{ 1e-10 | round(3) }}
{{ 1.5 | round(1, 'x') }}
{{ 'a' | round }}
{{ html | safe }} {{ (html | safe) + '<' }} {{ '<' + (html | safe) }} {{ '<' ~ (html | safe) }} {{ ('<b>' | safe) | upper }} {{ ('<b>' | safe).replace('b', '<') }} {{ ('<b>' | safe) | replace('b', '<') }} {{ [('x' | safe)] }} {{ ('x' | safe) * 2 + '&' }} {{ ('a<b' | safe).split('<') | join('&') }} {{ ('<i>' | safe) is escaped }} {{ ('<i>' | safe) is string }} {{ ('<i>' | safe)[1:] + '<' }} {{ ('%s' | safe) ~ '<' }} {{ (5 | safe) + '<' }} {{ ('<' | safe) | trim + '&' }} {{ ('a' | e) == 'a' }} {{ ('-' | safe).join(['<', 'b']) }} {{ ('x' | safe) | tojson }}
{{ [1, 2, 3, 4, 5, 6, 7] | slice(3) | list }} {{ [1, 2, 3, 4] | slice(3, 'x') | list }} {{ [] | slice(2) | list }}
{{ l | slice(0) | list }}
{{ l | sort }} {{ l | sort(true) }} {{ ls | sort }} {{ ls | sort(case_sensitive=true) }} {{ people[:3] | sort(attribute='age') | map(attribute='name') | list }} {{ people[:3] | sort(attribute='age,name') | map(attribute='name') | list }} {{ [(2, 'b'), (1, 'a')] | sort }} {{ d | sort }} {{ 'hello' | sort }} {{ [true, 0, 2] | sort }} {{ people[:3] | sort(true, attribute='age') | map(attribute='name') | list }} {{ [3, 1.5, 2] | sort(reverse=false) }} {{ [[2], [1, 5]] | sort(attribute=0) }}
{{ mixed | sort }}
{{ people | sort(attribute='age') }}
{{ 5 | string }}|{{ none | string }}|{{ l | string }}|{{ 1.0 | string }}|{{ missing | string }}|{{ true | string | length }}
{{ l | sum }} {{ [1.5, 2] | sum }} {{ people[:3] | sum(attribute='age') }} {{ l | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }} {{ [] | sum }}
{{ ls | sum }}
{{ 'hello world-foo (bar) it\'s x_y' | title }} {{ 'éa ßb' | title }} {{ 'HELLO' | title }} {{ '' | title }} {{ '  a  b' | title }} {{ 'a<b>c[d]{e}' | title }}
{{ d | tojson }} {{ mixed | tojson }} {{ u | tojson }} {{ '"\\\n\t\r\b\f\x00\x1f\x7f/<>&\u2028' | tojson }} {{ none | tojson }} {{ 1.0 | tojson }} {{ 1e100 | tojson }} {{ (1, (2,)) | tojson }} {{ [] | tojson }} {{ {} | tojson }}
{{ d | tojson(indent=2) }} {{ nest | tojson(indent=4) }} {{ [] | tojson(indent=2) }} {{ {'a': {}} | tojson(indent=0) }} {{ [1] | tojson(indent='--') }} {{ l | tojson(indent=none) }}
{{ keys | tojson(sort_keys=true) }} {{ u | tojson(ensure_ascii=true) }} {{ u | tojson(true) }} {{ d.c | tojson(separators=(',', ':')) }} {{ l | tojson(separators=[' ,', '=']) }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ d.c | tojson(false, 1, (';', '='), true) }} {{ l | tojson(indent=-1) }} {{ l | tojson(indent=true) }} {{ '\x80é😀' | tojson(ensure_ascii=true) }}
{{ missing | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ range(3) | tojson }}
{{ d.keys() | tojson }}
{{ l | tojson(foo=1) }}
{{ {'a': 1, 2: 3} | tojson(sort_keys=true) }}
{{ namespace(a=1) | tojson }}
{{ (1e308 * 10) | tojson }} {{ (-1e308 * 10) | tojson }} {{ 1e308 * 10 }} {{ (1e308 * 10 - 1e308 * 10) | tojson }} {{ 1e308 * 10 - 1e308 * 10 }}
[{{ sp | trim }}] [{{ 'xxaxx' | trim('x') }}] [{{ 'xyaxy' | trim('xy') }}] [{{ 5 | trim }}] [{{ '\u3000a\x85\x1c' | trim }}] [{{ '' | trim }}] [{{ 'éaé' | trim('é') }}]
{{ 'hello world foo' | truncate(11) }} {{ 'hello world foo bar baz' | truncate(11) }} {{ 'hello world foo bar baz' | truncate(11, true) }} {{ 'hello world foo bar baz' | truncate(11, false, '!', 0) }} {{ 'abcdefghij' | truncate(5, leeway=0) }} {{ 'short' | truncate }} {{ 'hello world foo bar' | truncate(9, end='…', leeway=1) }}
{{ 'abc' | truncate(1) }}
{{ [1, 2, 1, 1.0, 'A', 'a', true] | unique | list }} {{ ['A', 'a'] | unique(true) | list }} {{ people | unique(attribute='age') | map(attribute='name') | list }} {{ 'aAbB' | unique | join }}
{{ [[1]] | unique | list }}
{{ 'a b/c?d=é&f' | urlencode }} {{ {'a b': 'c/d', 'x': 1} | urlencode }} {{ 5 | urlencode }}
{{ 'one two, three-four it\'s x_y 12' | wordcount }} {{ '' | wordcount }} {{ u | wordcount }}
{{ people[0] | attr('name') is defined }} {{ s | attr('upper') is defined }} {{ namespace(a=5) | attr('a') }} {{ d | attr('items') is callable }}
{{ s | nosuch }}
{{ s | upper(1) }}
{{ s | replace('a', 'b', foo=1) }}
{{ s|upper|lower|title|length }} {{ (s|upper)[0] }} {{ s|upper ~ s|lower }} {{ 1 + 2|string|length }} {{ -1|abs }} {{ [1,2]|first + 1 }}
{{ l|map('string')|map('int')|sum }} {% set m = l|map('string') %}{{ m|list }}{{ m|list }} {{ m is iterable }} {{ m is sequence }}
{% set r = l|reverse %}{{ r|first }}{{ r|list }} {% set it = d.c|items %}{% for x in it %}{{ x }}{% endfor %}{% for x in it %}never{% endfor %}
"""

TESTS = r"""
{% for v in [none, true, false, 0, 1, 2.5, 'a', '', [], [1], (), {}, {'a': 1}, range(2), missing, 1.0, 'Ab', 'AB', 'ab'] %}{{ [v is defined, v is undefined, v is none, v is boolean, v is true, v is false, v is integer, v is float, v is number, v is string, v is mapping, v is sequence, v is iterable, v is callable, v is escaped, v is lower, v is upper] }} {% endfor %}
{{ d.keys() is sequence }} {{ d.keys() is iterable }} {{ d.items is callable }} {{ range is callable }} {{ namespace(a=1) is mapping }} {{ namespace(a=1) is iterable }} {{ s.upper is callable }} {{ (l|map('string')) is iterable }} {{ joiner() is callable }} {{ cycler(1) is callable }}
{{ 1 is odd }} {{ 2 is odd }} {{ -1 is odd }} {{ 2 is even }} {{ 0 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 2.0 is even }} {{ 3.5 is odd }} {{ true is odd }}
{{ 'a' is odd }}
{{ none is even }}
{{ 1 is divisibleby 0 }}
{{ 1 is divisibleby }}
{{ 'upper' is filter }} {{ 'nosuch' is filter }} {{ 'odd' is test }} {{ 'nosuch' is test }} {{ 5 is filter }}
{{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas true }} {{ 1 is sameas true }} {{ 1.0 is sameas 1 }} {{ l is sameas l }} {{ l is sameas [3, 1, 2] }} {{ missing is sameas none }}
{{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 3 is not in [1, 2] }} {{ 'a' is in d }}
{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is greaterthan 3 }} {{ 2 is ge 2 }} {{ 1 is lt 2 }} {{ 1 is lessthan 1 }} {{ 1 is le 1 }} {{ 1 is eq(1.0) }}
{{ 1 is gt 'a' }}
{{ 1 is nosuch }}
{{ 1 is defined(2) }}
{{ 1 is not none and 2 is number }} {{ not 1 is none }} {{ 1 is none or 2 }} {{ (1 is number) == true }} {{ 1 is number == true }} {{ x is not defined }} {{ 5 is not string }}
{{ 1 is number is number }}
{{ s is string and s is not none }} {{ 1 + 1 is even }} {{ -1 is number }}
{{ 'a' in 'abc' is string }}
"""

METHODS = r"""
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }} {{ u.upper() }} {{ u.swapcase() }} {{ u.title() }} {{ "it's o'neil x2y ǆ ა" .title() }} {{ 'ÉCOLE'.lower() }} {{ 'ŉ'.capitalize() }}
[{{ sp.strip() }}] [{{ sp.lstrip() }}] [{{ sp.rstrip() }}] [{{ 'xxaxx'.strip('x') }}] [{{ 'abcba'.lstrip('ab') }}] [{{ 'abcba'.rstrip('ab') }}] [{{ ' a '.strip(none) }}] [{{ 'éé1é'.strip('é') }}] [{{ 'aaa'.strip('a') }}]
{{ s.strip(1) }}
{{ s.strip(' ', 1) }}
{{ 'a b  c'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a  b '.split() }} {{ ''.split() }} {{ ''.split(',') }} {{ 'aXXbXXc'.split('XX') }} {{ 'a b c'.split(maxsplit=1) }} {{ 'abc'.split('abc') }} {{ ' a  b c '.split(none, 0) }} {{ 'a,b'.split(sep=',') }} {{ u.split(' ') }} {{ 'a</think>b</think>c'.split('</think>')[-1] }}
{{ 'a b  c'.rsplit() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'a,b,c'.rsplit(',') }} {{ 'aaa'.rsplit('aa') }} {{ 'aaa'.split('aa') }} {{ ' a b '.rsplit(none, 0) }} {{ ''.rsplit(',') }}
{{ 'abc'.split('') }}
{{ 'abc'.split(1) }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\n'.splitlines() }} {{ 'a\x0bb\x0cc\x1cd\x85e'.splitlines() }} {{ '\n\n'.splitlines(keepends=true) }}
{{ s.startswith('Hello') }} {{ s.startswith('x') }} {{ s.startswith(('x', 'He')) }} {{ s.startswith('World', 7) }} {{ s.endswith('World') }} {{ s.endswith(('x', 'd')) }} {{ s.endswith('Hello', 0, 5) }} {{ s.startswith('') }} {{ ''.startswith('') }} {{ s.startswith('', 100) }} {{ u.endswith('é') }} {{ s.endswith('o', none, 5) }} {{ s.startswith('o', -1) }} {{ s.startswith(()) }}
{{ s.startswith(1) }}
{{ s.startswith(['a']) }}
{{ s.find('o') }} {{ s.find('o', 5) }} {{ s.find('z') }} {{ s.rfind('o') }} {{ s.find('') }} {{ s.find('', 100) }} {{ s.rfind('') }} {{ u.find('你') }} {{ u.rfind(' ') }} {{ s.find('o', 5, 8) }} {{ s.index('W') }} {{ s.rindex('l') }} {{ s.find('l', -3) }} {{ ''.find('') }} {{ s.count('l') }} {{ s.count('') }} {{ 'aaaa'.count('aa') }} {{ s.count('l', 4) }} {{ s.count('l', 0, 4) }} {{ u.count('') }} {{ ''.count('') }} {{ s.count('', 100) }}
{{ s.index('z') }}
{{ s.find(1) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s.replace('', '.') }} {{ s.replace('l', '') }} {{ 'aaa'.replace('a', 'aa') }} {{ s.replace('o', '0', -1) }} {{ s.replace('o', '0', 0) }}
{{ s.replace('a') }}
{{ s.replace('a', 1) }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(ls) }} {{ '-'.join('abc') }} {{ '-'.join(d) }} {{ '-'.join([]) }} {{ ','.join(l|map('string')) }} {{ ','.join(('x',)) }}
{{ ','.join(l) }}
{{ ','.join(5) }}
{{ 'abc'.partition('b') }} {{ 'abc'.partition('x') }} {{ 'abcbd'.rpartition('b') }} {{ 'abc'.rpartition('x') }} {{ 'éxé'.partition('x') }} {{ s.removeprefix('Hello') }} {{ s.removesuffix('World') }} {{ s.removeprefix('x') }} {{ s.removeprefix('') }} {{ 'aa'.removesuffix('aaa') }}
{{ 'abc'.partition('') }}
[{{ 'ab'.center(5) }}] [{{ 'ab'.center(7, '*') }}] [{{ 'ab'.ljust(4) }}] [{{ 'ab'.rjust(4, '-') }}] [{{ '42'.zfill(5) }}] [{{ '-42'.zfill(5) }}] [{{ 'abc'.center(6, 'é') }}] [{{ '+1'.zfill(1) }}] [{{ ''.zfill(2) }}] [{{ 'abcd'.center(7) }}]
{{ 'ab'.center(5, 'xx') }}
{{ 'ab'.center('x') }}
{% for x in ['abc', 'ABC', 'Abc', '123', 'a1', ' ', '', 'é', '½', '²', '٣', '中', 'ǅ', 'a b', '\n', '\xa0', 'ª', '٠1'] %}{{ [x.isalpha(), x.isdigit(), x.isalnum(), x.isspace(), x.isupper(), x.islower(), x.isnumeric(), x.isdecimal(), x.isascii(), x.isprintable()] }}{% endfor %}
{{ '{} {}'.format(1, 'a') }} {{ '{0} {1} {0}'.format('a', 'b') }} {{ '{a}-{b}'.format(a=1, b=2) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') }} {{ '{:05d} {:x} {:.2f} {:,}'.format(42, 255, 1.005, 1234567) }} {{ '{!r} {!s}'.format('a', 'b') }} {{ '{0[a]} {1.name}'.format(d, people[0]) }} {{ '{:*^7}'.format('ab') }} {{ '{:+d} {:e} {:.0f} {:.1%}'.format(5, 1234.5, 2.5, 0.256) }} {{ '{:,.2f}'.format(12345.678) }} {{ '{:5}|{:5}'.format(1, 'a') }} {{ '{:b} {:o} {:#x}'.format(5, 8, 255) }} {{ '{}'.format(none) }} {{ '{:.2}'.format('abc') }}
{{ '{} {}'.format(1) }}
{{ '{0} {}'.format(1, 2) }}
{{ '{'.format(1) }}
{{ '{a}'.format(b=1) }}
{{ '{:d}'.format('a') }}
{{ '{0.__class__}'.format('a') }}
{{ d.c.items() }} {{ d.c.keys() }} {{ d.c.values() }} {{ d.c.items()|list }} {{ d.keys()|list }} {{ ed.items() }} {{ ('x', 'y') in d.c.items() }} {{ 'x' in d.c.keys() }} {{ d.c.copy() }} {% for k, v in d.c.items() %}{{ k }}={{ v }}{% endfor %}
{{ d.keys()[0] is defined }} {{ d.items.x is defined }}
{{ d.get() }}
{{ d.get([]) }}
{{ l.index(1) }} {{ l.count(1) }} {{ l.copy() }} {{ [1, 1.0, true].count(1) }} {{ (1, 2, 1).count(1) }} {{ (1, 2).index(2) }} {{ l.index(2, 1) }} {{ l.index(2, -1) }}
{{ l.index(9) }}
{{ l.index() }}
{{ s.nosuch() }}
{{ none.upper() }}
{{ n.upper() }}
{{ s.upper(1) }}
{{ 'a' 'b'.upper() }} {{ ('a' ~ 'b').upper() }} {{ 'x'.upper()|lower }} {{ 'abc'.upper()[1] }} {{ 'a-b'.split('-')|join('+') }} {{ s.split(',')[0].strip().upper() }}
"""

STATEMENTS = r"""
{% if n > 2 %}a{% elif n %}b{% else %}c{% endif %} {% if not n %}a{% elif n == 3 %}b{% elif 1 %}x{% endif %} {% if missing %}a{% else %}b{% endif %} {% if 1, %}t{% endif %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% else %}none{% endfor %} {% for x in [] %}a{% else %}none{% endfor %} {% for x in missing %}a{% else %}none{% endfor %} {% for c in 'aé' %}{{ c }},{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in [[1, 2], (3, 4), 'xy'] %}{{ a }}{{ b }} {% endfor %}{% for k, v in d.c.items() %}{{ k }}{{ v }}{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for (x,) in [[1]] %}{{ x }}{% endfor %}
{% for x, in [[1]] %}{% endfor %}
{% for x in 1, recursive %}{{ x }}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% else %}no{% endfor %} {% for x in l if x > 5 %}a{% else %}no{% endfor %} {% for x in l if x is odd %}{{ loop.revindex }}{{ loop.nextitem }}{% endfor %}
{% set ns = namespace(stop=false) %}{% for x in [1, 2, 3, 4] if not ns.stop %}{{ x }}{% if x == 2 %}{% set ns.stop = true %}{% endif %}{% endfor %} {{ ns.stop }}
{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %} {% for x in [1, 2] %}{% break %}{% else %}quirk{% endfor %} {% for x in [1, 2] %}{% continue %}{% else %}quirk{% endfor %} {% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }}{% endfor %};{% endfor %}
{% break %}
{% if 1 %}{% continue %}{% endif %}
{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% for x in l %}{% set y %}a{% if x == 1 %}{% break %}{% endif %}b{% endset %}{{ y }}{{ x }}{% endfor %}
{% for x in l %}{% filter upper %}a{% if x == 1 %}{% continue %}{% endif %}b{% endfilter %}{% with z = 1 %}{% if x == 2 %}{% break %}{% endif %}{% endwith %}{% endfor %}
{% for i in tree recursive %}[{{ i.v }}{{ loop.depth }}{{ loop(i.kids) }}]{% else %}-{% endfor %} {% for i in tree recursive %}{{ i.v }}{% if i.kids %}({{ loop(i.kids) }}){% endif %}{% endfor %}
{% for i in tree %}{{ loop(i.kids) }}{% endfor %}
{% for i in tree recursive %}{% set outer = loop %}{% for k in i.kids %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %} {{ loop is defined }}
{% for x in l %}{% for y in 'ab' %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %} {% for x in l|map('string') %}{{ x }}{{ loop.last }}{{ loop.length }}{% endfor %} {% for x in d %}{{ x }}{% endfor %} {% for x in (1, 2) %}{{ x }}{% endfor %} {% for x in range(3) %}{{ x }}{% endfor %} {% for x in 1, 2 %}{{ x }}{% endfor %}
{% for m in ['a', 'b', 'c'] %}{% if loop.previtem is defined and loop.previtem == 'a' %}after a{% endif %}{{ loop.nextitem if loop.nextitem is defined else 'end' }}{% endfor %} {% for x in l %}{{ loop.nosuch is defined }}{% endfor %}
{% for x in l %}{{ loop.cycle() }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 10 %}{{ x }} {% endfor %}{{ x }} {% if true %}{% set y = 5 %}{% endif %}{{ y }} {% if false %}{% set z = 5 %}{% endif %}{{ z is defined }} {% for i in [1] %}{% set w = 1 %}{% endfor %}{{ w is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set a, b = b, a %}{{ a }}{{ b }} {% set (p, q) = [5, 6] %}{{ p }}{{ q }} {% set t2 = 1, %}{{ t2 }} {% set v = 1 if false %}{{ v is defined }} {% set x = x is defined %}{{ x }}
{% set a, b = [1] %}
{% set a, b = 5 %}
{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {% set ns.y = 'new' %}{{ ns.y }} {{ ns.z is defined }} {{ ns }} {% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }} {{ ns.x is number }} {{ ns['y'] }}
{% set d.x = 1 %}
{% set missing.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set x %}a{{ n }}b{% endset %}[{{ x }}] {% set x | upper | trim %} a{{ s }} {% endset %}[{{ x }}] {% set x | replace('a', 'b') %}aaa{% endset %}{{ x }}{{ x is string }} {% set ns = namespace() %}{% set ns.x %}cap{% endset %}{{ ns.x }} {% set x %}{% set inner = 1 %}{% endset %}{{ inner is defined }}
{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m(b=5, a=4) }}{{ m() }}{{ m(*[7, 8]) }}{{ m(**{'a': 9}) }}{{ m(1, *[2], **{'c': 3}) }} {{ m }} {{ m.name }} {{ m is callable }} {{ m(1)|length }} {{ m(1) is string }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m() }}
{% macro m2(a) %}{{ a.x }}{% endmacro %}{{ m2() }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }} {{ m(1) }} {{ m() }}
{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}body {{ n }}{% endcall %} {% macro r(x) %}{{ caller(x, x + 1) }}{% endmacro %}{% call(a, b=5) r(3) %}{{ a }}-{{ b }}{% endcall %} {% macro o() %}{{ caller is defined }}{% endmacro %}{{ o() }}
{% macro m() %}x{% endmacro %}{% call m() %}b{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% call m %}b{% endcall %}
{% macro fact(n) %}{% if n > 1 %}{{ n * (fact(n - 1)|int) }}{% else %}1{% endif %}{% endmacro %}{{ fact(10) }} {% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{% macro outer() %}{% macro inner() %}I{{ n }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }} {{ inner is defined }} {% set g = 1 %}{% macro see() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ see() }} {% macro setit() %}{% set g = 9 %}{{ g }}{% endmacro %}{{ setit() }}{{ g }}
{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %} {{ m is defined }} {% macro d1(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ d1(1) }} {% for i in [1] %}{% macro lm() %}{{ loop is defined }}{% endmacro %}{{ lm() }}{% endfor %}
{% macro m(a, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }} {% with %}{% set q = 1 %}{{ q }}{% endwith %} {% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}
{% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('a', 'b')|upper %}aaa{% endfilter %} {% filter trim %}  x {% endfilter %}
{% filter nosuch %}{% endfilter %}
{% generation %}gen {{ n }}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }} {% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% print 'a', n %} {% print n %}
{{ raise_exception('No ' ~ n ~ ' "way" é') }}
{{ raise_exception(5) }}
{{ raise_exception() }}
{{ strftime_now('%d %B %Y, %H:%M:%S %y %b %a %A %j %I %p %-d %-m %e %U %w %% %F %T') }} {{ strftime_now('') }} {{ strftime_now('%Y-%m-%d') }}
{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %} {% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% nosuch %}
{% if %}{% endif %}
{% if n %}
{% for x in l %}
{% endif %}
{% else %}
{% for x l %}{% endfor %}
{% for true in l %}{% endfor %}
{% set true = 1 %}
{% set 5 = 1 %}
{% set = 1 %}
{{ }}
{{ 1 + }}
{{ (1 }}
{{ [1 }}
{{ {1} }}
{{ 'abc }}
{{ 1 1 }}
{{ a b }}
{{ @ }}
{{ ! }}
{{ 1 = 2 }}
{{ f(a=1, 2) }}
{{ f(**d, a=1) }}
{{ dict(a=1, a=2) }}
{{ '\xZZ' }}
{{ 1 is }}
{{ s| }}
{{ s. }}
{{ ] }}
{{ (] }}
{{ {'a': {'b': '}}'}}['a']['b'] }} {{ '%}' }} {{ "{{" }} {{ [1, {'a': [2]}] }} { { } } {x} {%if true%}y{%endif%}{{n}}{{-n-}}
{{ 'é' }}{{ '日本' ~ '語' }} {% set ü = 1 %}{{ ü }} {{ 'a\\nb' }} {{ "tab\there" }}
{{ true }} {{ True }} {{ false }} {{ False }} {{ none }} {{ None }} {{ [true, none] }} {{ "true" }}
{{ messages is defined }} {{ loop is defined }} {{ range is defined }} {{ caller is defined }} {{ namespace is defined }} {{ strftime_now is defined }}
{{ a if a is defined else 'na' }} {{ (a or b) is defined }} {{ n if n else missing.x }} {{ n or missing.x }} {{ zero and missing.x }}
{{ [1, 2, 3][:2] + [4] }} {{ (l + [9])[-1] }} {{ l[:1] + l[2:] }} {{ {'a': 1}.items()|list + [('b', 2)] }} {{ l|list == l }} {{ [[]] * 2 }}
{{ d.c == {'x': 'y'} }} {{ d.b == [1, 2] }} {{ (1, 2) == [1, 2] }} {{ 'a' == 'a' }} {{ l != [3, 1, 2] }} {{ 1 != '1' }} {{ range(2) == [0, 1] }}
{{ people[0]['name'] ~ ': ' ~ people[0].age }} {{ people|length }} {{ people[-1].age is none }} {{ people[0].tags[0] }} {{ people[1].tags is defined }}
{% for p in people %}{% if p.age is not none and p.age > 26 or p.name == 'alice' %}{{ p.name }}{% if not loop.last %}, {% endif %}{% endif %}{% endfor %}
{% for p in people|selectattr('age')|sort(attribute='age') %}{{ loop.index }}:{{ p.name|lower }} {% endfor %} {{ people|map(attribute='name')|map('lower')|unique|join(',') }}
{% set ns = namespace(found=false, list=[]) %}{% for x in l %}{% set ns.list = ns.list + [x * 2] %}{% if x == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}{{ ns.list }}
"""

# Blanks and line ends, and tags that do not end.
WHOLE = [
    "a{# comment #}b {#- strip -#} c {# {{ x }} {% y %} #}d {# multi\nline #}\ne", "{# c #}\n  {# c -#}   \nl", "  {# c #}  \nx",
    "{% raw %}{{ x }} {% if %}{# c #}{% endraw %}\n {%- raw -%} a {{ b }} {%- endraw -%} c", "{% raw %}\n  x\n{% endraw %}\ny",
    "  {% raw %}  a\n  {% endraw %}  b", "{%-raw%}a{%endraw+%}\nb", "a {%+ raw %} b {%+ endraw -%}  c",
    "a{{ 'x' }}\nb\n  {% if true %}\n  c\n  {% endif %}\nd {% if true %} e {% endif %}\n{%- if true -%}\n  f  \n{%- endif +%}\ng\n",
    "  {%+ if true %}h{% endif %}\n {{- ' i ' -}} \nj\n\t{% set x = 1 %}\t\nk\n{{ \"a\" }}\n\n{{ \"b\" }}\n",
    "{% if true -%}   x   {%- endif %}\n", "a\n", "a\n\n", "\n", "\n\n", "", " ", "a\r\nb\rc\n", "{{ 'a\r\nb' }}", "x\n{% if true %}\n\ny{% endif %}\n\n",
    "  {{ n }}\n  {% if n %}  {{ n }}{% endif %}\n", "a\n  {%- if n %}\n b {%- endif %}\n  c", "\u00a0{% if n %}\u00a0{%- endif %}x", "a \u3000{%- if n %}b{% endif %}",
    "{% if n %}\n  {% for x in l %}\n    {{ x }}\n  {% endfor %}\n{% endif %}\nend", "{{ n\n}}\n\n{{\nn }}", "{%\nif n\n%}a{%\nendif\n%}b",
    "{{ n -}}\n\n  b", "{{- n }} {{+ n }}", "{%- set x = 1 -%}\n a", "{{ 'a\\\nb' }}", "{{ 'x' -}}{{- 'y' }} - {{ -1 }} {{-1}} {{ 1 -}} ",
    "{% set x = 1 -%}\n{%- if x %}\n  \n{% endif -%}\n", "{", "{ {", "a{", "{{{ 1 }}}", "}}", "%}", "{{ '{{' }}", "{# #", "{#- -#}", "{##}", "{# a -#}\n\n b {#- c +#}\nd",
    "{{ n", "{% n", "{# n", "{% raw %} n", "{{ n }", "{% if n %}{% endif", "{% raw %}{% endraw", "{{ n %}", "{% if n }}", "{{", "{%", "{#", "{% raw",
    "{% set x %}\n a\n{% endset %}\n[{{ x }}]", "{% macro m() %}\n  a\n{% endmacro %}\n[{{ m() }}]", "{% for x in l -%}\n {{ x }}\n{%- endfor %}",
    "a  {%- if n -%}  b  {%- else -%}  c  {%- endif -%}  d", "\t {% if n %}\t a\n\t {% endif %} b", "a{% if n +%}\nb{% endif +%}\nc",
]
