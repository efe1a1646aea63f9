"""Sources of a text as links: `arXiv:1409.1556` is written once, in the words of a paper, and read with its address."""

import re

_ID = r'arXiv:(\d{4}\.\d{4,5})'
# Code in a fence or in backticks, and what is a link already, stay as they are.
_TEXT = re.compile(rf'^```.*?^```|`[^`\n]*`|\[[^\]]*\]\([^)]*\)|{_ID}', re.MULTILINE | re.DOTALL)


def linked(text: str) -> str:
    """Returns Markdown in which each arXiv id outside code is a link to its page."""
    return _TEXT.sub(lambda found: f'[{found[0]}](https://arxiv.org/abs/{found[1]})' if found[1] else found[0], text)
