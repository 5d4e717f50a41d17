#!/usr/bin/env python3
"""Writes src/chat/jinja/case_table.cc: Unicode's letter cases as this Python knows them (3.11: Unicode 14).

    python3 tools/make_case_table.py > src/chat/jinja/case_table.cc && clang-format -i src/chat/jinja/case_table.cc
"""

import unicodedata


def characters():
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def runs(mapping):
    """Rows [first, last, step, delta] of the characters that become one other character each."""
    rows = []
    for char, other in mapping:
        code, delta = ord(char), ord(other) - ord(char)
        if rows:
            first, last, step, same = rows[-1]
            gap = code - last
            if same == delta and gap in (1, 2) and (first == last or gap == step):
                rows[-1] = [first, code, gap, delta]
                continue
        rows.append([code, code, 1, delta])
    return rows


def write_runs(name, change):
    mapping = [(c, change(c)) for c in characters() if change(c) != c and len(change(c)) == 1]
    rows = ", ".join("{0x%X, 0x%X, %d, %d}" % tuple(row) for row in runs(mapping))
    print(f"constexpr CaseRun k{name}Runs[] = {{{rows}}};\n")


def write_specials(name, rows):
    texts = ", ".join('{0x%X, "%s"}' % (ord(char), text) for char, text in rows)
    print(f"constexpr CaseSpecial k{name}Specials[] = {{{texts}}};\n")


def main():
    print("// Written by tools/make_case_table.py from Unicode", unicodedata.unidata_version)
    print('#include "chat/jinja/case_table.h"\n\nnamespace assay::jinja {\nnamespace {\n')
    write_runs("Upper", str.upper)
    write_runs("Lower", str.lower)
    write_specials("Upper", [(c, c.upper()) for c in characters() if len(c.upper()) > 1])
    # A sigma alone is a capital's small form; at the end of a word it is another one (py_string.cc).
    write_specials("Lower", [(c, c.lower()) for c in characters() if len(c.lower()) > 1])
    write_specials("Title", [(c, c.title()) for c in characters() if c.title() != c.upper()])
    print("}  // namespace\n")
    for kind, name in [("Run", "Upper"), ("Run", "Lower"), ("Special", "Upper"), ("Special", "Lower"), ("Special", "Title")]:
        print(f"std::span<const Case{kind}> {name}{kind}s() {{ return k{name}{kind}s; }}")
    print("\n}  // namespace assay::jinja")


if __name__ == "__main__":
    main()
