"""Run folders: settings, checkpoints, and the generators and samples that come from them."""
