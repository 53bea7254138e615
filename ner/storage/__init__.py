"""Files and directories that are whole or not there, with their locks and manifests."""
