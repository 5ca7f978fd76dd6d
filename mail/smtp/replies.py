def describe_code(code): return str(code)
