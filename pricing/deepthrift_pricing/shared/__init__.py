"""What the SDK and the router use of pricing beyond its public names.

For the packages of this distribution. There is no promise of compatibility: use `deepthrift_pricing` instead.
Each module loads only what it names, so import the one that you need.
"""
