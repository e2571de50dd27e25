"""The steps of the farm, each a module: see farm/README.md."""
