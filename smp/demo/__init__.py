"""What `make demo` adds to the product: a local inbox, sample data, and a supervisor for all its processes."""
