"""The ops that cases are drawn of: a function that takes a Draw and makes a Case, and how often it is drawn."""

OPS = []


def op(weight):
    def register(f):
        OPS.append((weight, f))
        return f

    return register
