"""Parts of a joint model as models of their own, and the other way round."""
