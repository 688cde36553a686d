"""The commands of `streamops`: thin, one module a theme; `streamops.cli` names them."""
