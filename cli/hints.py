"""What a mistaken option may mean: many settings are no options but go by --set."""

import difflib

import click


def setting_hint(error: click.NoSuchOption) -> str:
    """Returns " For the setting train.epochs: --set train.epochs=VALUE." where an unknown option may mean a setting.

    Args:
        error: Of a command line; the command may not have --set at all.
    """
    context = error.ctx
    taken = {parameter.name for parameter in context.command.params} if context is not None else set()
    name = error.option_name.strip("-").replace("-", "_")
    if "overrides" not in taken or not name:
        return ""
    if "protocols" in taken:
        return " For a setting of a protocol: --set KEY=VALUE, for example --set epochs=10."
    from barlowtf.config import flat_settings, load_recipe

    keys = list(flat_settings(load_recipe("digits")))
    by_name = {key.replace(".", "_"): key for key in keys} | {key.rpartition(".")[2]: key for key in reversed(keys)}
    found = difflib.get_close_matches(name, by_name, n=1, cutoff=0.8)
    return f" For the setting {by_name[found[0]]}: --set {by_name[found[0]]}=VALUE." if found else ""
