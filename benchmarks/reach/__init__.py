"""Other programs that run exported files: each is a script for an environment of its own, without barlowtf."""
