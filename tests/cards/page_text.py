"""What stands on the page of a card."""

import html
import re


def words(text: str) -> str:
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(text).replace("\u00a0", " ").split())


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def part(text: str, anchor: str) -> str:
    """The words of one section."""
    found = re.search(rf'<section id="{anchor}"[^>]*>(.*?)</section>', text, re.DOTALL)
    assert found, anchor
    return words(found[1])


def section_titles(text: str) -> list[str]:
    """The titles that the list of contents names."""
    found = re.search(r"<nav .*?</nav>", text)
    assert found
    return re.findall(r">([^<]+)</a>", found[0])
