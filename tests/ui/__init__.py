"""What is done in a browser; a package, because its JupyterLab ends with its last test."""
