"""The training job: loop, checkpoints, what watches a run, and the record of where it ran."""
