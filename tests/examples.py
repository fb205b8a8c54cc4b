"""The examples of docs/extending.md, as the files that they are in a user's folder."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def example(name: str) -> str:
    """Returns the content of one of the page's files."""
    (content,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return content
