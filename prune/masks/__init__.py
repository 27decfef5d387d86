"""What lives: groups of weights, scores, masks, and the Pruner that applies them."""
