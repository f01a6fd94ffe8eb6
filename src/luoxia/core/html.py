"""Markup for reports and notebooks: what is not ``Html`` is escaped before it gets onto a page."""

from __future__ import annotations

import html


class Html(str):
    """Markup that is safe on a page, because whatever it holds of files and names was escaped."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def escape(value: object) -> Html:
    """``value`` as text that is safe in an HTML element and in a quoted attribute.

    >>> escape("<b>5 > 4</b>")
    '&lt;b&gt;5 &gt; 4&lt;/b&gt;'
    """
    return Html(html.escape(str(value), quote=True))
