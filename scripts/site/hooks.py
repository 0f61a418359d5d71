"""scripts/site/hooks.py

Has mkdocs render what GitHub renders: the same anchors of headings, and
check lists.
"""
import re


def slug(text, separator):
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def on_config(config):
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slug
    return config


def on_page_markdown(markdown, page, config, files):
    """Lists need no empty line before them there; and a box is a character."""
    lines, fence = [], False
    for line in markdown.split("\n"):
        if line.lstrip().startswith("```"):
            fence = not fence
        elif not fence:
            line = re.sub(r"^(\s*[-*] )\[ \] ", r"\1☐ ", line)
            begins = re.match(r"(?:[-*]|\d+\.) ", line)
            if begins and lines and lines[-1].strip() and not re.match(r"\s*(?:[-*]|\d+\.) |\s{2,}", lines[-1]):
                lines.append("")
        lines.append(line)
    return "\n".join(lines)
