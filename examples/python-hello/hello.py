"""Prints a greeting with the interpreter's version and the host it runs on."""

import platform


def greeting(host: str) -> str:
    return f"Hello from Python ({platform.python_version()}): running on {host}"


if __name__ == "__main__":
    print(greeting(platform.node()))
