"""`python -m barlowtf`: the command line."""

from barlowtf_cli.main import main  # the folder cli/, installed under this name

if __name__ == "__main__":
    main(prog_name="barlowtf")
