"""Numbers for a reader."""


def format_number(value: float) -> str:
    """Returns a number with four significant digits, thousands with a comma, and no exponent where it is short."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        digits, _, exponent = f"{value:.3g}".partition("e")
        return f"{digits}e{int(exponent)}" if exponent else digits
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
