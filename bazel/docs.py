#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference of curg's public API, made of its headers by doxygen.

Usage: docs.py [DIRECTORY]

Writes DIRECTORY/html/index.html (DIRECTORY is bazel-docs unless given, which git
ignores). The headers are those the top BUILD.bazel offers to consumers. Any
warning of doxygen's fails. As doxygen's input filter: docs.py --filter HEADER.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

SETTINGS = {
    "PROJECT_NAME": "curg",
    "PROJECT_BRIEF": '"Tasks, labels and profiles for C++20"',
    "QUIET": "YES",
    "WARN_AS_ERROR": "FAIL_ON_WARNINGS",
    "EXTRACT_ALL": "YES",
    "EXTRACT_PRIVATE": "NO",
    "HIDE_FRIEND_COMPOUNDS": "YES",
    "EXCLUDE_SYMBOLS": "curg::internal curg::internal::* std::*",
    "JAVADOC_AUTOBRIEF": "YES",
    "MARKDOWN_SUPPORT": "NO",
    "AUTOLINK_SUPPORT": "NO",
    "SORT_MEMBER_DOCS": "NO",
    "FULL_PATH_NAMES": "YES",
    "STRIP_FROM_PATH": f'"{ROOT}"',
    "STRIP_FROM_INC_PATH": f'"{ROOT}"',
    "GENERATE_LATEX": "NO",
    "HAVE_DOT": "NO",
    "CLASS_GRAPH": "NO",
    "SHOW_USED_FILES": "NO",
    "HTML_TIMESTAMP": "NO",
    "HTML_DYNAMIC_SECTIONS": "NO",
    "SEARCHENGINE": "YES",
    "ENABLE_PREPROCESSING": "NO",
    "INPUT_FILTER": f'"{sys.executable} {pathlib.Path(__file__).resolve()} --filter"',
    "FILE_PATTERNS": "*.h",
}


def public_headers():
    """The headers that //:curg offers, as paths from the root."""
    build = (ROOT / "BUILD.bazel").read_text(encoding="utf-8")
    return re.findall(r'"([\w/]+\.h)"', build[build.index("hdrs = ["):build.index("prefix = ")])


def escape(text):
    """Text as doxygen shows it, whatever it means to doxygen."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", re.sub(r"([\\@<>#%&$\"])", r"\\\1", text))


def comment_block(lines, indent):
    """A block of // lines as one doxygen comment; indented lines in it are code, or a table."""
    out, code = [], False
    for line in lines:
        text = line[2:]
        is_code = text.startswith("  ") or (code and not text.strip())
        if is_code != code:
            out.append("@verbatim" if is_code else "@endverbatim")
            code = is_code
        out.append(text if code else escape(text))
    if code:
        out.append("@endverbatim")
    return [f"{indent}/// {text.strip() if not text.startswith('  ') else text}".rstrip() for text in out]


def filtered(source):
    """A header whose plain comments are doxygen's."""
    # What other libraries are told about our types is no part of the reference, and doxygen knows no such scope.
    source = re.sub(r"^template <.*>\n(class|struct) boost::(.|\n)*?^};\n", "", source, flags=re.MULTILINE)
    out, block, first = [], [], True
    for line in source.splitlines() + ["\n"]:
        stripped = line.strip()
        if stripped.startswith("//"):
            if not stripped.startswith(("// SPDX", "// NOLINT")):
                block.append(line)
            continue
        if block:
            indent = block[0][: len(block[0]) - len(block[0].lstrip())]
            if first:
                out.append("/// @file")
            # What is about the next few declarations, not the next one, belongs to none.
            if first or stripped:
                out += comment_block([text.strip() for text in block], indent)
            block, first = [], False
        code, found, trailing = line.partition("  // ")
        if found and code.strip() and "NOLINT" not in trailing and "IWYU" not in trailing:
            end = re.search(r"[;,{}]$|[\w)}]$", code.strip())
            line = f"{code}  ///< {escape(trailing)}" if end and not code.strip().endswith("{") else code
        out.append(line)
    return "\n".join(out)


def main():
    if sys.argv[1:2] == ["--filter"]:
        print(filtered(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")))
        return 0
    if {"-h", "--help"} & set(sys.argv[1:]) or len(sys.argv) > 2:
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 1
    output = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "bazel-docs").resolve()
    output.mkdir(parents=True, exist_ok=True)
    settings = dict(SETTINGS, OUTPUT_DIRECTORY=f'"{output}"',
                    INPUT=" ".join(f'"{ROOT / header}"' for header in public_headers()))
    text = "".join(f"{key} = {value}\n" for key, value in settings.items())
    status = subprocess.run(["doxygen", "-"], input=text.encode(), check=False).returncode
    if status == 0:
        print(f"{output}/html/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
