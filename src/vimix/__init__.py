"""Vi-Mix: self-supervised video representations by cross-modal manifold cutmix."""
