# %% [markdown]
# # Go on from weights that exist
#
# There are two ways. A *new* run may start from the weights of another (`--init`): it has its own images, settings and
# schedule. Or a finished run *goes on* (`--extend`): with its optimizer's state, and a new schedule.

# %%
from pathlib import Path

from barlowtf.config import load_recipe
from barlowtf.experiment import PretrainRequest, extended_recipe, pretrain

run = Path("runs/example")
first = pretrain(PretrainRequest(load_recipe("digits", ["train.epochs=4"]), run))
print(f"first run: kNN top-1 {first.result.knn_top1_before:.1%} -> {first.result.knn_top1:.1%}")

# %% [markdown]
# ## Start from weights
#
# `model.init` takes a run, a `.keras` file, a PyTorch file or `keras:NAME`. On the command line:
#
# ```sh
# barlowtf pretrain --config digits --init runs/example --epochs 2 --run-dir runs/example-init
# ```
#
# Usually `--data` names other images here. The first number is that of the weights it starts from.

# %%
recipe = load_recipe("digits", ["model.init=runs/example", "train.epochs=2", "optimizer.warmup_epochs=1"])
started = pretrain(PretrainRequest(recipe, Path("runs/example-init")))
print(f"from weights: kNN top-1 {started.result.knn_top1_before:.1%} -> {started.result.knn_top1:.1%}")

# %% [markdown]
# ## Go on with a run
#
# ```sh
# barlowtf pretrain --extend runs/example --epochs 2 --set optimizer.warmup_epochs=0
# ```

# %%
longer = Path("runs/example-extended")
recipe = extended_recipe(run, ["train.epochs=2", "optimizer.warmup_epochs=0"], run_dir=longer)
extended = pretrain(PretrainRequest(recipe, longer))
print(f"extended: kNN top-1 {extended.result.knn_top1_before:.1%} -> {extended.result.knn_top1:.1%}")
print(f"goes on from step {extended.parent.step} of {run}")
