"""Programs run by the engines' Python on any computer; they may import ``science``, never AiiDA."""
