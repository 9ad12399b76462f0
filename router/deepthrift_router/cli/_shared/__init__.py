"""What every command uses: endpoint, options, output, exit codes."""
