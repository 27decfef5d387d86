"""Style, script and plotting library of the report page: all inside, since it loads nothing."""

from importlib.resources import files


def style() -> str:
    return _read("report.css")


def script() -> str:
    return _read("report.js")


def plotly() -> str:
    """The plotting library, 4.8 MB of JavaScript, as the Python package of the same name has it."""
    from plotly.offline import get_plotlyjs

    return _inline(str(get_plotlyjs()))


def _read(name: str) -> str:
    return _inline(files("analysis").joinpath(name).read_text(encoding="utf-8"))


def _inline(text: str) -> str:
    """Nothing inside may end the element that it stands in."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
