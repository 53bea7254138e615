"""Atomic files and directories, with their locks and manifests."""
