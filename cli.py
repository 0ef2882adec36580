"""`python cli.py ...` does the same as the installed `atomicstate ...`."""

from atomicstate.cli.main import run

if __name__ == "__main__":
    run()
