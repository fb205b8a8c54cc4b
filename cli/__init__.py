"""The command line of barlowtf; installed as `barlowtf_cli`."""
