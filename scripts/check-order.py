#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""check-order.py [DIRECTORY]: check that no file of the driver refers to one above it.

The Makefile of the driver lists its objects in one order, by layers: a line "# layer NAME:"
begins a layer, a line "som-y += NAME.o" or "som-$(...) += NAME.o" is a file, and a line
"# headers: NAME.h ..." has the headers that have no object. A file may include the headers,
and name the functions and objects, of itself and of the files listed before it, and of no
others. So there are no circles either.

Prints FILE:LINE: for each reference that goes up. Exit status: 0 if there is none, 1 if there
is one, 2 if the order cannot be read.
"""
import os
import re
import sys

COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([\w./]+)"', re.M)
# A function begins with its type in the first column and ends with "{" in it.
FUNCTION = re.compile(
    r'^(?P<type>[A-Za-z_][\w \t*]*?[ \t*])(?P<name>\w+)\((?P<parameters>[^;{}]*?)\)'
    r'[ \t\w()]*\n\{', re.M)
# An object that other files can see: in the first column, and not static.
OBJECT = re.compile(
    r'^(?!static\b|extern\b|typedef\b|return\b|goto\b|else\b)'
    r'(?:const |unsigned |signed |struct |enum )*\w+[ \t*]+(?:const )?(?P<name>\w+)'
    r'(?:\[[^\]]*\])*(?: __\w+)*[ \t]*(?:=|;)', re.M)
# Fields, and names of structures, are not names of functions.
WORD = re.compile(r'(?<![\w.])(?<!->)(?<!struct )(?<!union )(?<!enum )[A-Za-z_]\w*')


def blank(match):
    """Keep the lines of what is blanked, so that line numbers stay right."""
    text = match.group(0)
    return '\n' * text.count('\n') if text[0] == '/' else '""'


def read_order(makefile):
    """Return {name without suffix: (position, layer)} as the Makefile has it."""
    order, layer = {}, None
    for number, line in enumerate(open(makefile), 1):
        match = re.match(r'# layer (\w+):', line)
        if match:
            layer = match.group(1)
            continue
        match = re.match(r'# headers: (.*)', line)
        names = match.group(1).split() if match else []
        match = re.match(r'som-\S+ [+:]?= (.*)', line)
        names += match.group(1).split() if match else []
        for name in names:
            stem = name.rsplit('.', 1)[0]
            if layer is None or stem in order:
                print(f'{makefile}:{number}: {name} is listed '
                      + ('twice' if stem in order else 'above all layers'))
                sys.exit(2)
            order[stem] = (len(order), layer)
    if not order:
        print(f'{makefile}: no layers')
        sys.exit(2)
    return order


def definitions(path, text):
    """Return the names that a file defines: (those all see, those it alone sees)."""
    public, private = set(), set()
    for match in FUNCTION.finditer(text):
        static = re.search(r'\bstatic\b', match.group('type'))
        (private if static and path.endswith('.c') else public).add(match.group('name'))
    if path.endswith('.c'):
        public.update(match.group('name') for match in OBJECT.finditer(text))
        private.update(re.findall(r'^static\b[^;{}()=]*?\b(\w+)(?:\[[^\]]*\])*(?: __\w+)*'
                                  r' ?(?:=|;)', text, re.M))
    return public, private


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), '..', 'drivers', 'som')
    directory = os.path.relpath(directory)
    order = read_order(os.path.join(directory, 'Makefile'))
    texts, owner, private, bad = {}, {}, {}, 0

    for name in sorted(os.listdir(directory)):
        if name.endswith(('.c', '.h')):
            path = os.path.join(directory, name)
            stem = name.rsplit('.', 1)[0]
            if stem not in order:
                print(f'{path}:1: is in no layer of {directory}/Makefile')
                bad += 1
                continue
            with open(path) as file:
                raw = file.read()
            includes = [(match.group(1), raw.count('\n', 0, match.start()) + 1)
                        for match in INCLUDE.finditer(raw)]
            text = COMMENT_OR_STRING.sub(blank, raw)
            public, private[path] = definitions(path, text)
            for word in public:
                owner[word] = stem
            texts[path] = (stem, text, includes)
    for stem in order:
        if not any(os.path.exists(os.path.join(directory, stem + suffix))
                   for suffix in ('.c', '.h')):
            print(f'{directory}/Makefile: no file {stem}')
            bad += 1

    def above(stem, other):
        return other in order and order[other][0] > order[stem][0]

    def where(other):
        return f'{other} (layer {order[other][1]})'

    for path, (stem, text, includes) in texts.items():
        for header, line in includes:
            other = header.rsplit('.', 1)[0]
            if above(stem, other):
                print(f'{path}:{line}: {where(stem)} includes {header} of '
                      f'{where(other)}, which is above it')
                bad += 1
        for line, content in enumerate(text.split('\n'), 1):
            if content.startswith('extern '):
                continue
            for match in WORD.finditer(content):
                word = match.group(0)
                other = owner.get(word)
                if other is None or other == stem or word in private[path] or \
                   not above(stem, other):
                    continue
                print(f'{path}:{line}: {where(stem)} uses {word} of '
                      f'{where(other)}, which is above it')
                bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
