"""Which folders are packages, and under which names; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["barlowtf", "barlowtf.*"]), "barlowtf_cli", "barlowtf_configs"],
    package_dir={"barlowtf_cli": "cli", "barlowtf_configs": "configs"},
    package_data={
        "barlowtf_configs": ["*.toml", "ablations/*.toml"],
        "barlowtf": ["py.typed"],
        "barlowtf.convert": ["recorded.npz"],
        "barlowtf.report": ["templates/*.j2"],
        "barlowtf.export": ["templates/*.j2"],
    },
)
