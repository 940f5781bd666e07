"""What generated kernels import: scalar functions and products on memory. It never imports scancc."""
