"""From a problem to expression graphs and a derivative plan."""
