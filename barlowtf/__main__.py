"""`python -m barlowtf`: the command line."""

from barlowtf_cli.start import run  # the folder cli/, installed under this name

if __name__ == "__main__":
    run()
