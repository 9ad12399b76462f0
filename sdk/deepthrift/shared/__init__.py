"""What the router and the command line use of the SDK beyond its public names.

For the packages of this distribution. There is no promise of compatibility: use `deepthrift` instead.
Each module loads only what it names, so import the one that you need.
"""
