"""What maintains this checkout: tasks, generators, measurements. Nothing here is part of the packages."""
