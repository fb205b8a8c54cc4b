"""A recipe whose paths mean the same from every directory, so that a run does."""

from barlowtf.config import Recipe
from barlowtf.places import settled_own, settled_path, settled_spec


def settled(recipe: Recipe) -> Recipe:
    """Returns a recipe with whole paths in place of those from the current directory; other texts as they are."""
    model, labels, parent = recipe.model, recipe.monitor.labels, recipe.parent
    init = None if model.init is None or model.init.startswith("keras:") else settled_path(model.init)
    places = {
        "data": recipe.data.model_copy(update={"source": settled_spec(recipe.data.source)}),
        "model": model.model_copy(update={"encoder": settled_own(model.encoder), "init": init or model.init}),
        "loss": recipe.loss.model_copy(update={"name": settled_own(recipe.loss.name)}),
    }
    if labels is not None:
        places["monitor"] = recipe.monitor.model_copy(update={"labels": settled_spec(labels)})
    if parent is not None:
        places["parent"] = parent.model_copy(update={"run": settled_path(parent.run)})
    return recipe.model_copy(update=places)
