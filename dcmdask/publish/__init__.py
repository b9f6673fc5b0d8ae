"""What is in an output, who may write there, and how a catalog is put in place."""
