"""The recipes that come with barlowtf, as TOML files; installed as `barlowtf_configs`."""
