"""The foreign formats, one a file; `registry` names them all."""
