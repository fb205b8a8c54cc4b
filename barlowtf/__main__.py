"""`python -m barlowtf`: the command line."""

from barlowtf_cli.main import main

if __name__ == "__main__":
    main(prog_name="barlowtf")
