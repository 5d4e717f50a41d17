"""Templates that exercise each construct of the language, for make_chat_cases.py. A line of EXPRESSIONS becomes a
template `{{ ... }}` of its own; TEMPLATES are whole ones."""

VARIABLES = {
    "s": "Hello World",
    "t": "  a,b,,c \n",
    "u": "Größe ΣΑΣ ǆ ﬁ İ 漢字 👩🏽‍🚀\u00a0\u2028x\u200b",
    "e": "",
    "n": 7,
    "m": -3,
    "f": 2.5,
    "big": 1e300,
    "yes": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "w": ["b", "A", "c", "B"],
    "mixed": [1, "1", 1.0, None, True, [], {}],
    "d": {"b": 1, "a": [1, 2], "items": "not the method", "C": {"x": None}},
    "people": [
        {"name": "Ann", "age": 31, "role": {"id": "dev"}},
        {"name": "bob", "age": 25, "role": {"id": "ops"}},
        {"name": "Cy", "age": 31},
    ],
    "nested": [1, [2, [3, [4]], 5]],
    "quote": "it's \"q\" \\ \n\t\x07\x7f é",
    "html": "<a href='x'>&\"</a>",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "think"},
        {"role": "user", "content": "Bye"},
    ],
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2
7 / 2, 6 / 3, 2 ** 10, 2 ** -1, 2.0 ** 0.5, -2 ** 2
-n, +n, --n, -f, not n, not not e
n + yes, yes + yes, f * 2, m * f
0.1 + 0.2, 1e16, 1e15, 123456789.125, 1e-4, 1e-5, 1.5e300, -0.0, 100.0, 1e22
big * big, -big * big, (big * big) - (big * big)
0x1F, 0b101, 0o17, 1_000, 1_0.5e1_0
9223372036854775807 - 1
1 / 0
1 // 0
1 % 0
'a' 'b' "c"
'\n\t\\\'\"\x41\u00e9\U0001F600\101\q\é'
"a" + "b", "ab" * 3, 2 * "x", "x" * 0, "x" * -1, [1] * 2, [1] + [2], (1,) + (2,)
"a" + 1
1 + "a"
[] + ()
"a" ~ 1 ~ none ~ true ~ 2.0 ~ missing ~ [1, 'x'] ~ {'k': 'v'}
1 == 1.0, 1 == true, "1" == 1, none == false, [] == (), [1, [2]] == [1, [2]], {'a': 1} == {'a': 1.0}, missing == missing2
1 < 2, 1 < 2 < 3, 1 < 3 < 2, "a" < "b", "Z" < "a", [1, 2] < [1, 3], (1,) < (1, 0), 1 != 2, 1.5 >= 1
1 < "a"
none < 1
missing < 1
"ell" in s, "x" not in s, 1 in l, "a" in d, "x" in missing, 3 in (1, 2), true in [1], none in mixed
1 in s
1 in 2
yes and no, e or "x", n and s, nil or missing or 0, not yes or yes
"a" if yes else "b", "a" if no else "b", "a" if no
("a" if no) is defined
("a" if no).x
s if e else t if n else u
s[0], s[-1], s[1:4], s[:-1], s[::-1], s[::2], s[4:1:-1], s[100:], s[-100:3], s[3:1], s[::-3]
u[0], u[2], u[-1], u[1:5], u[::-1], u[99] is defined
l[0], l[-1], l[5] is defined, l[1:], l[::-1], l[:2], l[-2:], l[10:], l[::-2], (1, 2, 3)[1:], range(10)[2:8:3], range(5)[-1]
l["x"] is defined, l.x is defined, s.x is defined, n.x is defined, nil.x is defined
l[1:2:0]
nil[1:]
d.b, d["a"], d.a[1], d.items is defined, d["items"], d.C.x, d.missing is defined, d["C"]["x"] is none, d.get("b"), d.get("zz"), d.get("zz", 5)
d.missing.deeper
missing.x
missing[0]
missing()
s()
d.nope()
l.append(4)
d.pop("b")
d.update({}) is defined
s.__class__, l.__len__ is defined
l.append is defined, d.keys is defined, d.__class__ is defined
{'a': 1, 'b': [1, 2], 3: none, 2.5: true, none: 1}
{1: 'a', 1.0: 'b', true: 'c'}
{[1]: 2}
{'x': 1}.x, {'x': 1}['x'], {(1, 2): 3}[(1, 2)]
[1, 2.0, 'a', none, true, [], {}, (), (1,), (1, 2)]
[], {}, ()
mixed
quote, [quote]
[u], [html], ["it's"], ['"'], ["'\""]
[0.1, -0.0, 1e100, 1e-7, 12345678901234567890.0]
missing, [missing], {'a': missing}
d.items(), d.keys(), d.values(), range(3), range(1, 10, 3), range(0)
d.keys()|list, d.values()|list, d.items()|list
range(5)|list, range(5, 0, -2)|list, range(2, 5)|length
range(200000)
range(1, 2, 0)
s.upper(), s.lower(), s.swapcase(), s.title(), s.capitalize()
u.upper(), u.lower(), u.title(), u.capitalize(), u.swapcase()
'ὈΔΥΣΣΕΎΣ ΣΑΣ Σ aΣ. Σa'.lower()
'they\'re bill\'s x1y'.title(), 'they\'re-here (now) [x] {y} <z>'|title
t.strip(), t.lstrip(), t.rstrip(), 'xxaxx'.strip('x'), 'abcba'.strip('ab'), 'éaé'.strip('é'), s.strip('Hd'), t.strip(none), '\u2003x\x1f'.strip()
t.split(), t.split(','), t.split(',', 1), 'a b  c'.split(' '), 'a  b c d'.split(none, 1), 'a  b c d'.split(maxsplit=2), ''.split(), ''.split(',')
'abc'.split('')
'a,b,,c'.rsplit(',', 1), 'a b  c '.rsplit(none, 1), ' a b c'.rsplit(), 'a--b--c'.split('--')
'a\nb\r\nc\rd\x0be\x1cf\u2028g\n'.splitlines(), 'a\nb\n'.splitlines(true), ''.splitlines()
'a=b=c'.partition('='), 'a=b=c'.rpartition('='), 'abc'.partition('='), 'abc'.rpartition('=')
s.startswith('He'), s.endswith('ld'), s.startswith(('x', 'H')), s.startswith('llo', 2), s.endswith('o', 0, 5), s.startswith('')
s.find('o'), s.rfind('o'), s.find('zz'), s.find('o', 5), s.index('W'), s.count('l'), s.count(''), u.find('漢'), s.find('', 99)
s.index('zz')
s.replace('l', 'L'), s.replace('l', 'L', 1), 'abc'.replace('', '-'), 'abc'.replace('', '-', 2), s.replace('zz', 'y'), 'aaa'.replace('aa', 'b')
', '.join(['a', 'b']), ''.join('abc'), '-'.join({'x': 1, 'y': 2})
', '.join([1])
'ab'.center(7, '*'), 'abc'.center(6), 'a'.center(4, '-'), 'ab'.ljust(5) ~ '|', 'ab'.rjust(5), '42'.zfill(5), '-42'.zfill(5), 'é'.center(4, 'ß')
'abc'.isalpha(), 'ab1'.isalnum(), '12'.isdigit(), '²'.isdigit(), '²'.isdecimal(), ' \n'.isspace(), ''.isspace(), 'Ab'.isupper(), 'AB1'.isupper(), 'ab é'.islower(), 'Ab Cd'.istitle(), '½'.isnumeric(), 'é'.isascii(), 'a\n'.isprintable()
'prefix-x'.removeprefix('prefix-'), 'x.jinja'.removesuffix('.jinja'), 'x'.removesuffix('')
'{} {} {{}}'.format(1, 'a'), '{1} {0}'.format(1, 2), '{a.name} {b[0]}'.format(a=people[0], b=l), '{!r} {!s}'.format('x', 'y')
'{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:+d}|{:x}|{:.2f}|{:,}|{:%}|{:e}'.format('a', 'b', 'c', 'd', 42, 5, 255, 3.14159, 1234567, 0.25, 12345.678)
'{:{}}|{:.3}|{:5}|{:5}|{:g}|{}'.format('a', 4, 'abcdef', 1, true, 1e20, 2.5)
'{} {}'.format(1)
'{'.format(1)
'{x}'.format(y=1)
'{:d}'.format('a')
'%s %d %r %5.2f %%' % ('a', 3, 'b', 2.345)
'%s' % 'x', '%s' % [1], '%(a)s %(b)d' % {'a': 1, 'b': 2}, '%5s|%-5s|%05d|%+d|%x|%o|%e|%g|%c' % ('a', 'b', 42, 1, 255, 8, 1.5, 0.0001, 'z')
'%s %s' % ('a',)
'%s' % ('a', 'b')
'%d' % 'a'
l.index(1), l.count(3), (1, 1).count(1), w.index('c')
l.index(9)
l.copy() == l, d.copy() == d
n is defined, missing is defined, missing is undefined, nil is none, n is none, yes is true, n is true, no is false, yes is boolean, n is boolean
n is number, f is number, yes is number, s is number, n is integer, yes is integer, f is float, s is string, n is string
d is mapping, l is mapping, l is sequence, s is sequence, d is sequence, n is sequence, d.items() is sequence, range(2) is sequence, missing is sequence
l is iterable, s is iterable, n is iterable, missing is iterable, d is iterable, (l|map('string')) is iterable, nil is iterable
4 is even, 3 is odd, 9 is divisibleby 3, 9 is divisibleby(2), n is eq 7, n is equalto(7), n is ne 8, n is gt 3, n is ge 7, n is lt 9, n is le 6, n is lessthan 9
1 is in l, 9 is in l, 'a' is in 'abc', n is not none, n is not in l, 'ABC' is upper, 'abc' is lower, s is upper
range is callable, s is callable, 'upper' is filter, 'nope' is filter, 'odd' is test, 'nope' is test, nil is sameas none, yes is sameas true, l is sameas l, html is escaped, (html|safe) is escaped
n is nosuchtest
n|nosuchfilter
(n|nosuchfilter) if no else 'forgiven'
n is string is none
t|trim, 'xax'|trim('x'), n|trim
s|upper, s|lower, s|capitalize, s|title, 'foo bar-baz qux(a)'|title, n|upper
s|length, l|length, d|length, missing|length, l|count
n|length
(l|map('string'))|length
l|first, l|last, s|first, s|last, d|first, []|first is defined, []|last is defined, l|sort|first
(l|map('string'))|last
l|join, l|join(', '), w|join('-'), people|join('; ', attribute='name'), s|join('.'), missing|join(','), mixed|join('|')
l|list, s|list, d|list, missing|list
n|list
l|sort, l|sort(reverse=true), w|sort, w|sort(case_sensitive=true), w|sort(true), people|sort(attribute='age')|map(attribute='name')|list, people|sort(attribute='age,name')|map(attribute='name')|list
[1, 'a']|sort
l|reverse|list, s|reverse, w|reverse|join
l|sum, people|sum(attribute='age'), l|sum(start=10), []|sum, [[1], [2]]|sum(start=[])
l|min, l|max, w|min, w|max, people|max(attribute='age'), []|min is defined
w|unique|list, [1, 1.0, true, 2, 'a', 'A']|unique|list, w|unique(case_sensitive=true)|list
l|map('string')|list, w|map('upper')|join, people|map(attribute='name')|list, people|map(attribute='role', default='none')|list, [[1, 2], [3]]|map('first')|list, l|map('default', 5)|list, nil|map('x')|list
l|select('odd')|list, l|select('gt', 1)|list, l|reject('odd')|list, mixed|select|list, mixed|reject('none')|list, mixed|select('string')|list
people|selectattr('age', 'equalto', 31)|map(attribute='name')|list, people|selectattr('role')|list|length, people|rejectattr('role', 'defined')|map(attribute='name')|list, people[:2]|selectattr('role.id', '==', 'ops')|list|length, messages|selectattr('role', 'in', ['user'])|list|length, messages|rejectattr('role', 'eq', 'user')|map(attribute='content')|join('/')
(l|select('odd')) and 'generators are true', 1 if l|select('gt', 99)
d|items|list, missing|items|list, d|dictsort, d|dictsort(reverse=true), {'b': 2, 'a': 3}|dictsort(by='value'), {'B': 1, 'a': 2}|dictsort(true)
d|dictsort(by='x')
missing|default('x'), missing|default, e|default('x'), e|default('x', true), nil|d('x'), nil|d('x', boolean=true), d.zz|default('y'), missing|default(missing2)|default(3)
'3'|int, '3.9'|int, 'x'|int, 'x'|int(5), 3.99|int, -3.99|int, '0x1f'|int(base=16), '0b11'|int(0, 2), ' 42 '|int, '1_000'|int, nil|int, yes|int, ''|int, 'inf'|int(7), '1e3'|int
'3.5'|float, 'x'|float, 'x'|float(1.5), n|float, '1e3'|float, nil|float, '1_0.5'|float
'nan'|float ~ '-inf'|float ~ 'Infinity'|float
missing|int
n|string, f|string, nil|string, l|string, missing|string, yes|string, s|string
2.5|round, 3.5|round, 2.567|round(2), 2.5|round(0, 'floor'), 2.1|round(method='ceil'), 7|round, -2.5|round, 1234|round(-2), 2.675|round(2), 0.5|round
-5|abs, -2.5|abs, yes|abs, 5|abs
html|escape, html|e, (html|safe) ~ '<', html|safe, (html|safe) + '<', '<' + (html|safe), html|escape|escape, html|forceescape, (html|safe)|upper, [html|safe]
s|replace('o', '0'), s|replace('o', '0', 1), n|replace(7, 8), s|replace('zz', '')
'a\nb\n\nc'|indent, 'a\nb\n\nc'|indent(2), 'a\nb\n\nc'|indent(2, true), 'a\nb\n\nc'|indent(2, blank=true), 'a\nb'|indent('> ', first=true), ''|indent
n|indent
'foo bar baz qux'|truncate(9), 'foo bar baz qux'|truncate(9, true), 'foo bar baz qux'|truncate(11), 'foo bar baz qux'|truncate(11, false, '...', 0)
s|center(21) ~ '|', s|wordcount, 'a-b c_d é'|wordcount, 'a b/c?é&'|urlencode
'%s-%s'|format(1, 'x'), '%(a)s'|format(a=5)
[1, 2, 3, 4, 5]|batch(2)|list, [1, 2, 3]|batch(2, 'x')|list, [1, 2, 3, 4, 5]|slice(2)|list, [1, 2, 3, 4, 5]|slice(3, 'x')|list
people|groupby('age')|list, people|groupby('age')|map(attribute='grouper')|list, people|groupby('role.id', default='?')|map('first')|list
people[0]|attr('name') is defined, 'x'|attr('upper') is defined
d|tojson, mixed|tojson, quote|tojson, u|tojson, html|tojson, 1.0|tojson, 1e100|tojson, big|tojson, nil|tojson, (1, 2)|tojson, []|tojson, {}|tojson
d|tojson(indent=2), d|tojson(indent=4, sort_keys=true), [[], {}, [1]]|tojson(indent=1), d|tojson(separators=(',', ':')), u|tojson(ensure_ascii=true), {1: 2, none: 3, true: 4, 2.5: 5}|tojson, {'b': 1, 'a': 2}|tojson(sort_keys=true), [1]|tojson(indent='--'), [1]|tojson(indent=0)
missing|tojson
d.items()|tojson
(big * big)|tojson
strftime_now('%Y-%m-%d %H:%M:%S %j %b %B %a %A %y %p %I %% [%Z%z]')
raise_exception('no ' ~ s)
dict(a=1, b=2), dict({'a': 1}, b=3), dict([('x', 1)])
namespace(a=1).a, namespace({'b': 2}).b, namespace(), namespace(a=[1], b='x')
namespace(_a=1)
namespace(a=1).zz is defined, namespace(a=1)['a']
nil.x.y
[1, 2, 3][missing] is defined
(1, 2)|first, (none,)|first is none
'a' 'b'|upper ~ 'c'
-n|abs, (-n)|abs, 2 + 3|string|length
1 if n > 3 and s is string and not nil else 2
s is string and s|length > 5 or false
'a' in 'abc' and 'z' not in 'abc'
n == 7 and f == 2.5 if yes else none
cycler is defined, joiner is defined, loop is defined, caller is defined
[x] is defined
{'a': 1,}, [1, 2,], (1,)
l.0, nested.1.1.0
d.a.0 + d['a'][1]
people[0].role.id ~ people[-1].role|default('-')
true, True, false, False, none, None
1.5.is_integer(), 2.0.is_integer()
s[n], s[yes], l[no], s[1.0] is defined
s * f
l * 2, 0 * l
s.nope is undefined, s['upper'] is callable, d['get'] is callable
nested|string, nested == [1, [2, [3, [4]], 5]]
'abc' < 'abd' < 'b' != 'c'
"x".join(["1", "2"])|length
'a,b'.split(',')|map('upper')|join('+')
messages[1:]|map(attribute='role')|join(','), messages[::-1][0].role, messages|length - 1
(messages|last).role, (messages|selectattr('role', 'equalto', 'user')|list|last)['content']
"""

TEMPLATES = [
    ("trim blocks", "a\n{% if yes %}\nb\n{% endif %}\nc\n"),
    ("lstrip blocks", "  {% if yes %}x{% endif %}\n\t{{ n }}\n  {# c #}\n a {% if yes %} b {% endif %}\nend"),
    ("signs", "a  {%- if yes -%}  b  {%- endif -%}  c\n {{- n -}} \n d {#- c -#} e\n  {%+ if yes %}\n f{% endif +%}\n g"),
    ("trailing newlines", "a\n\n"),
    ("one trailing newline", "{{ n }}\n"),
    ("carriage returns", "a\r\nb\rc{% if yes %}\r\nd{% endif %}\r\n"),
    ("raw", "x {% raw %}{{ n }} {% if %}{% endraw %} y\n  {%- raw -%}\n  {{ z }} {#\n {%- endraw -%}  w"),
    ("comments", "a{# one #}b{#- two\nlines -#} c {#+ x +#}\nd{##}e"),
    ("comment without end", "a{# b"),
    ("tag without end", "a{{ n"),
    ("wrong bracket", "{{ (n] }}"),
    ("unknown tag", "{% nope %}"),
    ("missing endif", "{% if yes %}a"),
    ("endfor for endif", "{% if yes %}a{% endfor %}"),
    ("brace data", "{ {a} } {% if yes %}{{{'a': 1}.a}}{% endif %} {{ {'a': {'b': 2}}['a'] }} }} %} #}"),
    ("elif", "{% for i in range(4) %}{% if i == 0 %}a{% elif i == 1 %}b{% elif i == 2 %}c{% else %}d{% endif %}{% endfor %}"),
    ("if scope", "{% if yes %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}"),
    ("loop scope", "{% set x = 1 %}{% for i in l %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}"),
    ("namespace", "{% set ns = namespace(x=1, found=false) %}{% for i in l %}{% set ns.x = ns.x + i %}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.x }} {{ ns.found }}"),
    ("namespace that is none", "{% set x = {} %}{% set x.y = 1 %}"),
    ("loop variables", "{% for i in w %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem }} {{ loop.cycle('x', 'y') }}{{ loop.changed(i|lower) }}\n{% endfor %}"),
    ("loop else", "{% for i in [] %}a{% else %}b{{ n }}{% endfor %}{% for i in l %}{{ i }}{% else %}c{% endfor %}"),
    ("loop filter", "{% for i in range(10) if i is even and i > 2 %}{{ loop.index }}:{{ i }}{{ ',' if not loop.last }}{% endfor %}"),
    ("loop filter looks at a namespace", "{% set ns = namespace(stop=false) %}{% for i in range(6) if not ns.stop %}{{ i }}{% if i == 2 %}{% set ns.stop = true %}{% endif %}{% endfor %}"),
    ("loop filter, length", "{% for i in range(6) if i != 3 %}{{ i }}/{{ loop.length }}/{{ loop.revindex }} {% endfor %}"),
    ("loop unpacking", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}"),
    ("loop unpacking too few", "{% for a, b in [(1,)] %}{% endfor %}"),
    ("loop over text", "{% for c in 'aé漢' %}[{{ c }}]{% endfor %}"),
    ("loop over mapping", "{% for k in d %}{{ k }} {% endfor %}{% for k in d|list %}{{ k }}{% endfor %}"),
    ("loop over nothing", "{% for k in missing %}a{% else %}b{% endfor %}"),
    ("loop over none", "{% for k in nil %}a{% endfor %}"),
    ("break and continue", "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% else %}z{% endfor %}"),
    ("break in the first round", "{% for i in range(3) %}{% break %}{% else %}else{% endfor %}"),
    ("continue in all rounds", "{% for i in range(3) %}{% continue %}{% else %}else{% endfor %}"),
    ("break outside", "{% break %}"),
    ("nested loops", "{% for a in [[1, 2], [3]] %}{% set o = loop %}{% for b in a %}{{ o.index }}.{{ loop.index }}={{ b }} {% endfor %}{% endfor %}"),
    ("recursive loop", "{% for x in nested recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %} {% endfor %}"),
    ("loop called without mark", "{% for x in l %}{{ loop(x) }}{% endfor %}"),
    ("previous and next item", "{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == 'user' %}<{% endif %}{{ m.role }}{% if loop.nextitem is undefined %}.{% elif loop.nextitem.role != m.role %}>{% endif %}{% endfor %}"),
    ("set tuple", "{% set a, b = 1, 2 %}{{ b }}{{ a }}{% set c = 1, 2 %}{{ c }}{% set (x, y) = 'pq' %}{{ y }}{{ x }}"),
    ("set block", "{% set x %}a{{ n }}\n b{% endset %}[{{ x }}]{% set y | upper | trim %} q{% set z = 1 %} {% endset %}[{{ y }}]{{ z is defined }}"),
    ("set keyword", "{% set true = 1 %}"),
    ("with", "{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 2 %}{% endwith %}{{ a is defined }}{{ c is defined }}{% with %}{% set q = 1 %}{{ q }}{% endwith %}"),
    ("with sees the outside", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}"),
    ("filter block", "{% filter upper|replace('A', 'x') %}abc {{ s }}{% endfilter %}"),
    ("macro", "{% macro m(a, b=2, c='x' ~ a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, c=3) }}|{{ m(b=5, a=4) }}|{{ m() }}|{{ m.name }}"),
    ("macro too many", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"),
    ("macro unknown name", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}"),
    ("macro rest", "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m(*[1, 2], **{'k': 'v'}) }}"),
    ("macro undefined parameter", "{% macro m(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ m() }}"),
    ("macro is text", "{% macro m() %}\n  x\n{% endmacro %}[{{ m()|trim }}]{{ m()|length }}{{ m() is string }}{{ m }}"),
    ("macro recursion", "{% macro show(x) %}{% if x is iterable %}[{% for y in x %}{{ show(y) }}{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ show(nested) }}"),
    ("macro sees later variables", "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}"),
    ("macro sets its own", "{% set x = 1 %}{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}"),
    ("macro in a loop", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}"),
    ("macro through namespace", "{% set ns = namespace() %}{% macro m(a) %}<{{ a }}>{% endmacro %}{% set ns.f = m %}{{ ns.f(1) }}"),
    ("call", "{% macro box(t) %}[{{ t }}:{{ caller() }}]{% endmacro %}{% call box('a') %}in {{ n }}{% endcall %}"),
    ("call with arguments", "{% macro each(x) %}{% for i in x %}{{ caller(i, b=2) }}{% endfor %}{% endmacro %}{% call(i, b, c=3) each(l) %}{{ i }}{{ b }}{{ c }} {% endcall %}"),
    ("call without caller", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}"),
    ("caller undefined", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}"),
    ("caller asked for", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}"),
    ("generation", "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}{% endif %}{% endfor %}"),
    ("cycler and joiner", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}{% set j = joiner('; ') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}"),
    ("generators give once", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}{% for x in g %}{{ x }}{% else %}none{% endfor %}"),
    ("print", "{% print n, s %}"),
    ("colons", "{% if yes: %}a{% else: %}b{% endif %}"),
    ("include", "{% include 'x' %}"),
    ("include that does not run", "a{% if no %}{% include 'x' %}{% from 'y' import z %}{% endif %}b"),
    ("errors name undefined", "{{ messages[0].contents.strip() }}"),
    ("shadowed function", "{% set range = 5 %}{{ range }}"),
    ("loop variable outside", "{% for i in l %}{% endfor %}{{ i is defined }}{{ loop is defined }}"),
    ("a loop reads what is set later", "{% for i in [1] %}[{{ n }}]{% endfor %}{% set n = 1 %}{{ n }}"),
    ("a loop reads what was read and is set later", "{{ n }}{% for i in [1] %}[{{ n }}]{% endfor %}{% set n = 1 %}{{ n }}"),
    ("a loop reads what is set later in an if", "{% for i in [1] %}[{{ n }}]{% endfor %}{% if yes %}{% set n = 1 %}{% endif %}{{ n }}"),
    ("a loop reads what is set later in all branches", "{% for i in [1] %}[{{ n }}]{% endfor %}{% if no %}{% set n = 1 %}{% elif no %}{% set n = 2 %}{% else %}{% set n = 3 %}{% endif %}{{ n }}"),
    ("a loop in an if reads what is set later", "{% if yes %}{% for i in [1] %}[{{ n }}]{% endfor %}{% endif %}{% set n = 1 %}"),
    ("a loop sets before it reads", "{% for i in [1, 2] %}{% if i == 2 %}{{ n }}{% endif %}{% set n = i %}{{ n }}{% endfor %}{{ n }}"),
    ("a loop in a loop reads what is set later", "{% for i in [1, 2] %}{% for j in [1] %}[{{ n }}]{% endfor %}{% set n = i %}{% endfor %}{{ n }}"),
    ("a macro reads what is set later", "{% macro m() %}[{{ n }}]{% endmacro %}{{ m() }}{% set n = 1 %}{{ m() }}"),
    ("a macro's parameter is set", "{% macro m(n) %}{% for i in [1] %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}{% endmacro %}{{ m(5) }}{{ n }}"),
    ("a block reads what is set later", "{% set x %}[{{ n }}]{% endset %}{{ x }}{% with y = n %}{{ y }}{% endwith %}{% filter upper %}{{ s }}{% endfilter %}{% set n = 1 %}{% set s = 2 %}{{ n }}{{ s }}"),
    ("a set block's own", "{% set x %}{% for i in [1] %}[{{ n }}]{% endfor %}{% set n = 1 %}{{ n }}{% endset %}{{ x }}{{ n }}"),
    ("a function is shadowed later", "{% for i in [1] %}{{ range is defined }}{% endfor %}{% set range = 1 %}{{ range }}"),
    ("messages are sliced later", "{% for m in messages %}{{ m.role[0] }}{% endfor %}{% set messages = messages[1:] %}{% for m in messages %}{{ m.role[0] }}{% endfor %}"),
    ("unknown filter in a loop in an if", "{% if no %}{% for i in l %}{{ i|nope }}{% endfor %}{% endif %}"),
    ("unknown filter in an if", "{% if no %}{{ n|nope }}{% endif %}a"),
    ("unknown filter in an if that runs", "{% if yes %}{{ n|nope }}{% endif %}a"),
    ("chatml", "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    ("brackets of instructions", "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] | trim + '\n\n' %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n{{- bos_token + system_message }}\n{%- for message in messages %}\n    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\n    {%- endif %}\n    {%- if message['role'] == 'user' %}\n        {{- '[INST] ' + message['content'] | trim + ' [/INST]' }}\n    {%- else %}\n        {{- ' ' + message['content'] | trim + eos_token }}\n    {%- endif %}\n{%- endfor %}\n"),
    ("roles must alternate", "{% for m in messages + messages %}{% if loop.previtem is defined and loop.previtem.role == m.role %}{{ raise_exception('Roles ' ~ m.role ~ '\ntwice') }}{% endif %}{{ m.role }}{% endfor %}{{ raise_exception('End') }}"),
    ("tools as python types", "{% macro type_of(p) %}{% if p.type == 'array' %}list[{{ type_of(p['items']) if p['items'] is mapping else 'Any' }}]{% elif p.type is iterable and p.type is not string %}{{ p.type|join(' or ') }}{% else %}{{ {'string': 'str', 'integer': 'int'}.get(p.type, p.type) }}{% endif %}{% endmacro %}{{ type_of({'type': 'array', 'items': {'type': 'array', 'items': {'type': 'string'}}}) }} {{ type_of({'type': ['a', 'b']}) }} {{ type_of({'type': 'array'}) }}"),
]


def cases():
    for expression in EXPRESSIONS.strip().split("\n"):
        yield expression, "{{ " + expression + " }}", VARIABLES
    for name, template in TEMPLATES:
        yield name, template, VARIABLES
