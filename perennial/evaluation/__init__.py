"""How good a forecast is, whether it is better, and what follows: metrics, bootstrap, gates."""
