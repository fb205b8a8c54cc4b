"""Recipes: the strict schema, and how a recipe is loaded, overridden and written. No TensorFlow here."""

from barlowtf.config.load import (
    check_overrides,
    dump_recipe,
    flat_settings,
    load_recipe,
    parse_overrides,
    recipe_differences,
    resolve,
    summarize_recipes,
)
from barlowtf.config.reading import named_recipes
from barlowtf.config.schema import Parent, Recipe
from barlowtf.config.section import Section

__all__ = [
    "Parent",
    "Recipe",
    "Section",
    "check_overrides",
    "dump_recipe",
    "flat_settings",
    "load_recipe",
    "named_recipes",
    "parse_overrides",
    "recipe_differences",
    "resolve",
    "summarize_recipes",
]
