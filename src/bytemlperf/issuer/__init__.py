"""Issues queries and stamps time, beside the backend: inline, in a worker, or in a vendor's own interpreter.

`issue.py` and `serve.py` need only the standard library and numpy, in the syntax of Python 3.7.
"""
