#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""check-rst.py KERNEL FILE...: parse documents and check their references.

KERNEL is the directory of the kernel's source. Directives and roles of Sphinx are accepted
without their effect. Prints FILE:LINE: for each warning of docutils, and for each file that
a document names and that is neither in this repository nor in the kernel. Exit status: 0 if
there is none, 1 if there is one.
"""
import os
import re
import sys

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles

REFERENCE = re.compile(r'Documentation/[\w/.-]+\.(?:rst|txt|svg)'
                       r'|(?<=^\.\. kernel-doc:: )\S+|(?<=^\.\. literalinclude:: )\S+')
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')


class Ignored(Directive):
    """Directive of Sphinx: any arguments, options and content."""
    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = dict.fromkeys(
        ['caption', 'doc', 'end-before', 'export', 'functions', 'identifiers', 'internal',
         'language', 'lines', 'maxdepth', 'start-at'], directives.unchanged)

    def run(self):
        return []


def ignored_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    return [nodes.literal(rawtext, text)], []


class Messages:
    """Stream that counts and prints what docutils reports."""
    count = 0

    def write(self, text):
        if text.strip():
            self.count += 1
            print(text.strip())


def main():
    for name in ('kernel-doc', 'literalinclude', 'toctree'):
        directives.register_directive(name, Ignored)
    for name in ('c:func', 'c:type', 'doc', 'ref'):
        roles.register_local_role(name, ignored_role)
    messages, bad = Messages(), 0
    for path in sys.argv[2:]:
        with open(path) as file:
            text = file.read()
        publish_doctree(text, source_path=path, settings_overrides={
            'warning_stream': messages, 'report_level': 2, 'halt_level': 5})
        for number, line in enumerate(text.split('\n'), 1):
            for name in REFERENCE.findall(line):
                if not any(os.path.exists(os.path.join(directory, name)) for directory
                           in (ROOT, sys.argv[1], os.path.dirname(path))):
                    print(f'{path}:{number}: no such file: {name}')
                    bad += 1
    return 1 if bad or messages.count else 0


if __name__ == '__main__':
    sys.exit(main())
