"""WorkChains: one file per link of the chain, each runnable alone."""
